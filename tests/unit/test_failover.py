"""Who may leave an account, who carries them, and how often anybody looks after them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tuma_producer.quiet import Hours, Quiet
from tuma_worker.core.failover import (
    ANY_PROOF,
    CORRECTIBLE_FOR,
    ENDED_LATE,
    LATE,
    SOON,
    UNSENT,
    Called,
    Cargo,
    Carrier,
    CarrierTerms,
    carrier_for,
    look_again,
    may_leave,
)
from tuma_worker.core.states import ENDS, RecipientState

R = RecipientState
A, B = "+243990000001", "+254700000001"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CARGO = Cargo("bulk", "KITOKO", "production", 2, NOON)


def carrier(account: str = "spare", *, works: bool = True, environment: str = "production", **terms: object) -> Carrier:
    return Carrier(account, environment, works, CarrierTerms(**terms))  # type: ignore[arg-type] # the tests' own fields


def test_nobody_is_carried_to_where_the_sender_that_is_shown_is_not_approved() -> None:
    approved = {"KITOKO": ("+243",), "INFO": ("+254",)}
    other = carrier("other", senders=("KITOKO",), sender_id="INFO", own_sender=True, approved=approved)
    assert carrier_for(A, CARGO, [other]) == other
    assert carrier_for(B, CARGO, [other]) is None  # it may show KITOKO, but not there
    assert carrier_for(B, replace(CARGO, sender="SHOP"), [other]) == other  # shown as INFO
    assert carrier_for(A, replace(CARGO, sender="SHOP"), [other]) is None
    assert carrier_for(B, replace(CARGO, sender=None), [other]) == other


def test_who_was_never_called_or_refused_each_time_may_leave() -> None:
    calls = [Called("refused", "unsent", frozenset({B})), Called("rejected", "refused", frozenset({B}))]
    assert may_leave([A, B], frozenset({B}), calls, ANY_PROOF) == {A, B}
    assert may_leave([A, B], frozenset({B}), calls, UNSENT) == {A}


def test_who_was_refused_without_a_proof_that_nothing_was_taken_stays() -> None:
    assert may_leave([A, B], frozenset({B}), [Called("refused", None, frozenset({B}))], ANY_PROOF) == {A}


@pytest.mark.parametrize("phase", ["calling", "unknown", "resent", "accepted", "a phase of a newer worker"])
def test_who_was_in_any_other_call_stays(phase: str) -> None:
    calls = [Called("refused", "refused", frozenset({A, B})), Called(phase, "refused", frozenset({A}))]
    assert may_leave([A, B], frozenset({A, B}), calls, ANY_PROOF) == {B}


def test_a_forgotten_call_may_have_been_for_anybody_who_was_called() -> None:
    assert may_leave([A, B], frozenset({A}), [Called(None, None, frozenset())], ANY_PROOF) == {B}


def test_the_first_that_can_carries() -> None:
    barred = [carrier("halted", works=False), carrier("elsewhere", countries=("+254",)), carrier("test", environment="sandbox")]
    barred += [carrier("codes-only", lanes=("otp",)), carrier("other-senders", senders=("OTHER",))]
    assert carrier_for(A, CARGO, [*barred, carrier("good"), carrier("late")]) == carrier("good")
    assert carrier_for(A, CARGO, barred) is None


def test_a_text_that_no_window_of_its_limits_holds_goes_by_another() -> None:
    assert carrier_for(A, CARGO, [replace(carrier(), most_segments=1)]) is None
    assert carrier_for(A, CARGO, [replace(carrier(), most_segments=2)]) is not None


@pytest.mark.parametrize(
    ("cargo", "number", "carries"),
    [
        (CARGO, A, False),
        (CARGO, B, True),  # it is awake two time zones further on
        (replace(CARGO, loud=True), A, True),
        (replace(CARGO, lane="otp"), A, True),
        (replace(CARGO, at=NOON + timedelta(hours=2)), A, True),
    ],
)
def test_nobody_is_carried_into_quiet_hours(cargo: Cargo, number: str, *, carries: bool) -> None:
    quiet = Quiet(Hours.parse("12:00-14:30"))
    assert (carrier_for(number, cargo, [replace(carrier(), quiet=quiet)]) is not None) == carries


def test_its_own_sender_is_shown_only_where_it_may_not_show_the_intents() -> None:
    terms = CarrierTerms(senders=("OTHER",), sender_id="OWN", own_sender=True)
    assert not terms.may_show("KITOKO")
    assert all(terms.may_show(sender) for sender in ("OTHER", "OWN", None))
    assert carrier_for(A, CARGO, [Carrier("spare", "production", works=True, terms=terms)]) is not None


def test_the_longer_nothing_is_heard_the_rarer_anybody_looks() -> None:
    waiting = frozenset({R.QUEUED, R.SENT})
    assert [look_again(waiting, quiet) for quiet in (0, 100, 1e9)] == [SOON, 10, LATE]


def test_an_end_that_may_be_corrected_is_looked_at_for_as_long_as_that_is_so() -> None:
    assert look_again(frozenset({R.FAILED}), 1e5) == ENDED_LATE
    assert look_again(frozenset({R.FAILED}), CORRECTIBLE_FOR + 1) is None
    assert look_again(frozenset(ENDS), 0) == SOON


@pytest.mark.parametrize("states", [{R.DELIVERED}, {R.DELIVERED, R.SUPPRESSED}, set()])
def test_nobody_looks_where_there_can_be_no_more_news(states: set[RecipientState]) -> None:
    assert look_again(frozenset(states), 0) is None
