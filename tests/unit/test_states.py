"""The table of states: what may follow what, and that nothing is a dead end but the ends."""

from __future__ import annotations

from itertools import product

import pytest

from tuma_worker.core.states import ENDS, RecipientState, may_move, origins

R = RecipientState


def reachable(start: RecipientState) -> set[RecipientState]:
    """All that a recipient may come to from here, in any number of moves."""
    seen: set[RecipientState] = set()
    ahead = {start}
    while ahead:
        seen |= ahead
        ahead = {target for origin, target in product(ahead, R) if may_move(origin, target)} - seen
    return seen


def test_the_two_ways_of_asking_agree() -> None:
    assert all((origin in origins(target)) == may_move(origin, target) for origin, target in product(R, R))


@pytest.mark.parametrize("state", [R.DELIVERED, R.SUPPRESSED])
def test_there_is_no_way_out_of_a_final_end(state: RecipientState) -> None:
    assert not any(may_move(state, target) for target in R)


@pytest.mark.parametrize("end", sorted(ENDS))
def test_no_end_is_ever_taken_back_into_the_queue(end: RecipientState) -> None:
    assert not {R.ACCEPTED, R.QUEUED, R.SENDING} & (reachable(end) - {end})


def test_only_that_it_was_sent_after_all_contradicts_a_withdrawal() -> None:
    assert {target for target in R if may_move(R.CANCELLED, target)} == {R.SENT, R.DELIVERED}


@pytest.mark.parametrize("end", sorted(ENDS - {R.UNKNOWN, R.CANCELLED}))
def test_an_end_may_only_be_corrected_to_delivered(end: RecipientState) -> None:
    assert {target for target in R if may_move(end, target)} <= {R.DELIVERED}


@pytest.mark.parametrize("state", sorted(set(R) - ENDS))
def test_whoever_has_not_ended_can_end(state: RecipientState) -> None:
    assert reachable(state) & ENDS
    assert any(may_move(state, target) for target in R)


@pytest.mark.parametrize("state", sorted(R))
def test_every_state_is_reached_from_the_first(state: RecipientState) -> None:
    assert state in reachable(R.ACCEPTED)


def test_nobody_moves_to_where_it_stands() -> None:
    assert not any(may_move(state, state) for state in R)


def test_only_a_recipient_in_the_queue_is_taken_for_a_call() -> None:
    assert origins(R.SENDING) == {R.QUEUED}


def test_what_is_on_the_wire_can_no_longer_be_suppressed() -> None:
    assert origins(R.SUPPRESSED) == {R.ACCEPTED, R.QUEUED}


def test_a_call_that_was_refused_lets_its_recipient_be_as_its_intent_is_by_then() -> None:
    assert {R.ACCEPTED, R.QUEUED, R.SENDING} <= origins(R.CANCELLED)
    assert R.SUBMITTED not in origins(R.ACCEPTED)


def test_what_the_provider_took_is_withdrawn_only_before_the_first_of_the_dates_that_it_keeps() -> None:
    assert origins(R.CANCELLED) == {R.ACCEPTED, R.QUEUED, R.SENDING, R.SUBMITTED}


def test_only_a_call_that_was_refused_puts_a_recipient_back_in_the_queue() -> None:
    assert origins(R.QUEUED) == {R.ACCEPTED, R.SENDING}
