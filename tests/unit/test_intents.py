"""What a send may be, what its refusals say and what they keep to themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_producer import InvalidSend, Send
from tuma_producer.intents import MAX_CHARACTERS, MAX_RECIPIENTS, mask, normalise_number

VALID = {"account": "lisoloo-main", "to": "+243990000001", "message": "Hello"}
NUMBER = r"\+[1-9][0-9]{7,14}"


def send(**more: Any) -> Send:  # noqa: ANN401 - fields of Send
    return Send(**(VALID | more))


# --------------------------------------------------------------------------------------------------------------- accounts


def test_the_accounts_to_fail_over_to_are_a_list_or_one_name() -> None:
    assert send(failover="spare").failover == ("spare",)
    assert send(failover=["b", "a"]).failover == ("b", "a")


@pytest.mark.parametrize("others", [["lisoloo-main"], ["spare", "spare"], ["Spare"], list("abcdefghi"), [""]])
def test_accounts_to_fail_over_to_are_others_each_once_and_few(others: list[str]) -> None:
    with pytest.raises(InvalidSend, match="failover"):
        send(failover=others)


# ---------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "written",
    [
        "+243990000001",
        "00243990000001",
        " +243 99 000-00.01 ",
        "+243 (99) 000 0001",
        "+243\u00a099\u00a0000\u20110001",
        "00 243 99 0000001\n",
    ],
)
def test_a_number_is_understood_as_people_write_it(written: str) -> None:
    assert normalise_number(written) == "+243990000001"


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "+",
        "00",
        "0990000001",
        "243990000001",
        "+0243990000001",
        "++243990000001",
        "+24399000000a",
        "+2439900",
        "+2439900000012345",
        "+2\u0664\u0663990000001",
        "+2439900000\u0660\u0661",  # digits, but not ours
        "+243990000001;+243990000002",
        "+243990000001\u200f",
    ],
)
def test_what_is_no_international_number_is_refused(junk: str) -> None:
    with pytest.raises(ValueError, match="is not an international number"):
        normalise_number(junk)


@given(st.from_regex(NUMBER, fullmatch=True), st.data())
def test_normalising_undoes_any_spacing_and_changes_nothing_a_second_time(number: str, data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.sampled_from(["", " ", "-", ".", "(", ")"]), min_size=len(number), max_size=len(number)))
    spaced = "".join(character + gap for character, gap in zip(number, gaps, strict=True))
    assert normalise_number(spaced) == number
    assert normalise_number(number) == number


@given(st.one_of(st.text(max_size=30), st.text("+0123456789٣-. ()", max_size=20)))
def test_whatever_is_let_through_is_a_plus_and_8_to_15_ascii_digits(text: str) -> None:
    try:
        number = normalise_number(text)
    except ValueError:
        return
    assert number[0] == "+"
    assert number[1:].isascii()
    assert number[1:].isdecimal()
    assert number[1] != "0"
    assert 8 <= len(number) - 1 <= 15


@given(st.text(max_size=40))
def test_a_mask_shows_two_ends_at_most_and_hides_three_characters_at_least(text: str) -> None:
    shown = mask(text)
    assert shown.count("…") - text.count("…") <= 1
    assert len(shown) <= 7
    if shown != "…":
        assert text.startswith(shown[:4])
        assert text.endswith(shown[-2:])
        assert len(text) - 6 >= 3


@given(st.from_regex(NUMBER, fullmatch=True))
def test_a_masked_number_cannot_be_read(number: str) -> None:
    assert mask(number) == f"{number[:4]}…{number[-2:]}"


def refusal(fields: dict[str, Any]) -> InvalidSend | None:
    """Why there can be no such send."""
    try:
        Send(**fields)
    except InvalidSend as error:
        return error
    return None


@given(st.lists(st.one_of(st.text(max_size=25), st.from_regex(NUMBER, fullmatch=True)), min_size=1, max_size=4))
def test_a_refusal_never_repeats_a_number(numbers: list[str]) -> None:
    said = str(refusal(VALID | {"to": numbers}) or "")
    assert all(number not in said for number in numbers if len(number.strip()) >= 9)
    assert len(said.splitlines()) <= 1


# ------------------------------------------------------------------------------------------------------------ other fields


def test_one_number_may_stand_alone() -> None:
    assert send(to="+243 99 000 0001").to == send(to=["00243990000001"]).to == ["+243990000001"]


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("account", "Lisoloo Main", "should match pattern"),
        ("account", "lisoloo-main\n", "should match pattern"),
        ("account", "a" * 33, "should match pattern"),
        ("account", "a}b", "should match pattern"),
        ("to", [], "at least one"),
        ("to", "", "entry 0: … is not an international number"),
        ("to", None, "at least one"),
        ("to", 243990000001, "at least one"),
        ("to", ["+243990000001", 7], "entry 1 is no text"),
        ("to", ["+243990000001", "0990000002"], "entry 1: 0990…02 is not an international number"),
        ("to", ["+243990000001"] * (MAX_RECIPIENTS + 1), "at most 10000 fit one send, split the list"),
        ("message", "", "is empty"),
        ("message", " \n ", "is empty"),
        ("message", "x" * (MAX_CHARACTERS + 1), "at most 1600 characters"),
        ("message", "\ud800", "valid string"),
        ("sender_id", "", "is empty"),
        ("sender_id", "x" * 16, "at most 15 characters"),
        ("priority", "urgent", "'otp', 'transactional' or 'bulk'"),
        ("source", "a|b", "should match pattern"),
        ("idempotency_key", "", "at least 1 character"),
        ("expires_in", 0, "must be greater than 0"),
        ("expires_in", -1, "greater than 0"),
        ("expires_in", float("inf"), "less than or equal"),
        ("expires_in", float("nan"), "less than or equal"),
        ("expires_at", datetime(2031, 1, 1), "has no offset; write one"),  # noqa: DTZ001 - that is the mistake
        ("expires_at", "0001-01-01T00:00:00+14:00", "in the years 1971 to 8999"),
        ("expires_at", "9999-12-31T23:59:59-14:00", "in the years 1971 to 8999"),
        ("on_unknown", "retry", "'hold' or 'resend'"),
        ("metadata", {"invoice": 7}, "valid string"),
        ("colour", "red", "is no field"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(field: str, value: object, rule: str) -> None:
    with pytest.raises(InvalidSend) as caught:
        send(**{field: value})
    assert caught.value.field == field
    assert rule in caught.value.rule
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("field", ["account", "to", "message"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(InvalidSend, match=f"{field}: must be given"):
        Send(**{name: value for name, value in VALID.items() if name != field})


def test_two_deadlines_are_one_too_many() -> None:
    with pytest.raises(InvalidSend, match="either expires_in or expires_at, not both"):
        send(expires_in=60, expires_at=datetime(2031, 1, 1, tzinfo=UTC))


def test_a_deadline_within_the_time_to_withdraw_is_refused() -> None:
    with pytest.raises(InvalidSend, match="cancel_within: must be less than expires_in"):
        send(expires_in=30, cancel_within=30)
    assert send(expires_in=31, cancel_within=30).cancel_within == 30


@pytest.mark.parametrize("value", ["Code 493 201 \ud800", 7])
def test_a_refusal_does_not_repeat_the_text(value: object) -> None:
    with pytest.raises(InvalidSend) as caught:
        send(message=value)
    assert "493" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_send_cannot_be_changed_after_it_was_made() -> None:
    with pytest.raises(ValueError, match="frozen"):
        send().message = "Another"  # type: ignore[misc] # that is the mistake


def test_a_deadline_may_be_in_any_time_zone() -> None:
    kinshasa = timezone(timedelta(hours=1))
    assert send(expires_at=datetime(2031, 1, 1, 1, tzinfo=kinshasa)).expires_at == datetime(2031, 1, 1, tzinfo=UTC)


@given(st.dictionaries(st.sampled_from(sorted(Send.model_fields)), st.one_of(st.none(), st.text(), st.integers(), st.floats())))
def test_nonsense_is_refused_with_invalid_send_and_with_nothing_else(fields: dict[str, Any]) -> None:
    found = refusal(fields)
    assert found is None or found.field in Send.model_fields
    assert found is not None or {"account", "to", "message"} <= fields.keys()


# -------------------------------------------------------------------------------------------------------------- callbacks


def test_a_callback_goes_to_a_web_address_as_it_was_written() -> None:
    url = "https://billing.example.com:8443/sms/17?sign=a%20b"
    assert send(callback_url=url).callback_url == url


@pytest.mark.parametrize(
    "url",
    [
        "", "billing.example.com", "ftp://billing.example.com", "https://", "https:///sms", "https://user:hidden@billing.example.com",
        "https://billing.example.com/#part", "https://billing.example.com/a b", "https://billing.example.com/\r\nX: y",
        "https://billing.example.com:0/", "https://billing.example.com:x/", "https://[::1", "https://b\u00e9.example/",
        "https://billing.example.com/" + "a" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidSend, match=r"^callback_url: must be an http:// or https:// address") as refused:
        send(callback_url=url)
    assert "hidden" not in str(refused.value)
