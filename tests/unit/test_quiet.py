"""Quiet hours, by the clocks where a number's people live."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuma_producer.countries import CODES, COUNTRIES, code_of, zones_of
from tuma_producer.quiet import Hours, Quiet

CD, KE, US, RU, GUAM, NOBODY = "+243990000001", "+254712345678", "+12125550100", "+79031234567", "+16715551234", "+999123456"
NIGHT = Quiet(Hours.parse("21:00-07:00"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("number", "when", "until"),
    [
        # Kinshasa is at +01:00 and Lubumbashi at +02:00: quiet from the first 21:00 to the last 07:00.
        (CD, "2026-11-25T18:59:59Z", None),
        (CD, "2026-11-25T19:00Z", "2026-11-26T06:00Z"),
        (CD, "2026-11-26T05:59:59Z", "2026-11-26T06:00Z"),
        (CD, "2026-11-26T06:00Z", None),
        (KE, "2026-11-25T17:59:59Z", None),
        (KE, "2026-11-25T18:00Z", "2026-11-26T04:00Z"),
        (KE, "2026-11-26T04:00Z", None),
        (NOBODY, "2026-11-25T21:00Z", "2026-11-26T07:00Z"),
        (GUAM, "2026-11-25T20:30Z", "2026-11-25T21:00Z"),
        # From New York to Honolulu and from Kaliningrad to Kamchatka few hours are nobody's night.
        (US, "2026-11-25T18:00Z", None),
        (US, "2026-11-25T14:00Z", "2026-11-25T17:00Z"),
        (RU, "2026-11-25T06:00Z", None),
        (RU, "2026-11-25T10:00Z", "2026-11-26T05:00Z"),
    ],
)
def test_it_is_quiet_while_it_is_in_any_zone_of_the_country(number: str, when: str, until: str | None) -> None:
    assert NIGHT.until(number, at(when)) == (at(until) if until else None)


def test_where_the_clock_changes_it_is_quiet_by_the_clock() -> None:
    paris = "+33612345678"
    assert NIGHT.until(paris, at("2025-03-29T23:00Z")) == at("2025-03-30T05:00Z")
    assert NIGHT.until(paris, at("2025-10-25T23:00Z")) == at("2025-10-26T06:00Z")
    early = Quiet(Hours.parse("22:00-02:30"))
    assert early.until(paris, at("2025-03-29T23:00Z")) == at("2025-03-30T01:30Z")  # 02:30 does not exist: 03:30
    assert early.until(paris, at("2025-10-25T23:00Z")) == at("2025-10-26T01:30Z")  # 02:30 twice: after the second
    assert early.until(paris, at("2025-10-26T00:45Z")) == at("2025-10-26T01:30Z")
    late = Quiet(Hours.parse("02:30-07:00"))
    assert late.begins(paris, at("2025-03-29T23:00Z")) == at("2025-03-30T00:30Z")  # rather before the jump than after it
    assert late.begins(paris, at("2025-10-25T23:00Z")) == at("2025-10-26T00:30Z")  # the first of two


def test_a_country_may_have_hours_of_its_own_or_none_and_the_rest_may_have_none() -> None:
    own = Quiet(Hours.parse("21:00-07:00"), countries={"KE": Hours.parse("22:00-06:00"), "FR": None})
    assert own.until(KE, at("2026-11-25T18:30Z")) is None
    assert own.until(KE, at("2026-11-25T19:00Z")) == at("2026-11-26T03:00Z")
    assert own.until("+33612345678", at("2026-11-25T23:00Z")) is None
    assert own.begins("+33612345678", at("2026-11-25T23:00Z")) is None
    only = Quiet(None, countries={"KE": Hours.parse("22:00-06:00")})
    assert only.until(CD, at("2026-11-25T23:00Z")) is None
    assert only.until(KE, at("2026-11-25T23:00Z")) is not None


def test_a_number_of_nobody_knows_where_goes_by_the_accounts_clock() -> None:
    assert Quiet(Hours.parse("21:00-07:00"), zone="Africa/Kinshasa").until(NOBODY, at("2026-11-25T20:00Z")) == at(
        "2026-11-26T06:00Z"
    )


def test_where_zones_are_never_awake_together_the_first_decides() -> None:
    never = Quiet(Hours.parse("12:00-07:00"))
    assert zones_of("RU")[0] == "Europe/Kaliningrad"
    found = never.until(RU, at("2026-11-25T12:00Z"))
    assert found == at("2026-11-26T05:00Z")
    assert never.until(RU, found) is None


@settings(deadline=None)  # the first look at a zone reads a file
@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.sampled_from(sorted(CODES)),
    st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    st.integers(1, 14 * 60),
)
def test_when_it_ends_it_is_over_and_until_it_begins_nobody_is_disturbed(
    when: datetime, code: str, begin: time, minutes: int
) -> None:
    quiet = Quiet(Hours(begin, (datetime.combine(when, begin) + timedelta(minutes=minutes)).time()))
    until = quiet.until_for(code, when)
    if until is not None:
        assert until > when
        assert quiet.until_for(code, until) is None
        return
    begins = quiet.begins_for(code, when)
    assert begins is not None
    assert begins > when
    assert quiet.until_for(code, when + (begins - when) * 0.999) is None


def test_every_code_has_countries_and_every_country_zones_that_are_known() -> None:
    assert all(zones_of(country) for country in COUNTRIES)
    assert all(ZoneInfo(zone) for country in COUNTRIES for zone in zones_of(country))
    assert zones_of("CD") == ("Africa/Kinshasa", "Africa/Lubumbashi")
    assert zones_of("KE") == ("Africa/Nairobi",)
    assert [code_of(one) for one in (CD, KE, US, RU, GUAM, NOBODY, "+77011234567")] == ["243", "254", "1", "7", "1671", None, "77"]


@pytest.mark.parametrize("text", ["21-7", "21:00", "21:00-21:00", "24:00-07:00", "21:00-07:60", "", "never"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Hours.parse(text)


def test_quiet_hours_come_back_from_json_as_they_were() -> None:
    quiet = Quiet(
        Hours.parse("21:00-07:00"), ("bulk", "otp"), "expire", {"KE": None, "CD": Hours.parse("22:30 - 06:15")}, "Africa/Nairobi"
    )
    assert Quiet.from_json(quiet.as_json()) == quiet
    assert Quiet.from_json(Quiet(None).as_json()) == Quiet(None)
