"""What follows from each answer that a provider can give."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_worker.core.answers import Accepted, AccountFault, Answer, Fault, RecipientAnswer, Rejected, TryLater, Unknown
from tuma_worker.core.next_step import Halt, Move, NextStep, Permit, Policy, Untaken, back_off, next_step
from tuma_worker.core.states import RecipientState as R
from tuma_worker.core.states import may_move

A, B, C = "+243990000001", "+243990000002", "+243990000003"
POLICY = Policy()


def the_most(most: float) -> float:
    """Dice that always fall on the largest number."""
    return most


def step(answer: Answer, *numbers: str, tried: int = 1) -> NextStep:
    return next_step(answer, dict.fromkeys(numbers or (A, B, C), tried), POLICY, the_most)


def targets(found: NextStep, *numbers: str) -> list[R | None]:
    return [move.target if (move := found.move(number)) else None for number in numbers or (A, B, C)]


# --------------------------------------------------------------------------------------------------------------- accepted


def test_accepted_submits_everyone_and_ends_the_permit() -> None:
    found = step(Accepted("m-1"))
    assert (found.permit, found.provider_id) == (Permit.ENDED, "m-1")
    assert targets(found) == [R.SUBMITTED] * 3


def test_accepted_but_for_one_number_rejects_that_one_with_its_reason() -> None:
    found = step(Accepted("m-1", {A: RecipientAnswer(provider_id="a"), B: RecipientAnswer(accepted=False, reason="1203")}))
    assert targets(found) == [R.SUBMITTED, R.REJECTED, R.SUBMITTED]
    assert found.move(A) == Move(R.SUBMITTED, provider_id="a")
    assert found.move(B) == Move(R.REJECTED, reason="1203")


# --------------------------------------------------------------------------------------------------------------- rejected


def test_rejected_without_suspicion_rejects_everyone() -> None:
    found = step(Rejected("1105"))
    assert targets(found) == [R.REJECTED] * 3
    assert found.most == 0


def test_numbers_that_are_blamed_end_and_the_innocent_go_again_at_once() -> None:
    found = step(Rejected("1203", numbers=frozenset({B})))
    assert targets(found) == [R.QUEUED, R.REJECTED, R.QUEUED]
    assert (found.retry, found.most) == (0, 0)


def test_where_all_are_blamed_all_end() -> None:
    assert targets(step(Rejected("1203", numbers=frozenset({A, B, C})))) == [R.REJECTED] * 3


def test_blame_for_a_number_that_was_not_in_the_call_spares_nobody() -> None:
    assert targets(step(Rejected("1203", numbers=frozenset({"+243990000009"})))) == [R.REJECTED] * 3


def test_the_innocent_go_again_even_where_all_tries_are_spent_because_each_such_call_ends_somebody() -> None:
    found = step(Rejected("1203", numbers=frozenset({B})), tried=POLICY.tries)
    assert targets(found) == [R.QUEUED, R.REJECTED, R.QUEUED]


@given(st.integers(2, 1000))
def test_a_suspected_batch_is_halved_until_each_number_stands_alone(size: int) -> None:
    rounds = 0
    while size > 1:
        numbers = [f"+24399{index:07d}" for index in range(size)]
        found = step(Rejected("400", suspect_numbers=True), *numbers, tried=99)  # halving needs more calls than there are tries
        assert targets(found, *numbers) == [R.QUEUED] * size
        assert found.most < size
        size, rounds = found.most, rounds + 1
    assert rounds <= 10


def test_a_suspected_number_that_stands_alone_is_rejected() -> None:
    assert targets(step(Rejected("400", suspect_numbers=True), A), A) == [R.REJECTED]


# -------------------------------------------------------------------------------------------------------------- try later


def test_whom_we_refuse_ourselves_ends_without_a_call_and_the_others_go_at_once() -> None:
    answer = Rejected("sender-not-approved", frozenset({A}), lasting=False, ours=True)
    found = step(answer, A, B)
    assert targets(found, A, B) == [R.REJECTED, R.QUEUED]
    assert (found.permit, found.retry, found.bad, found.spends) == (Permit.VOID, 0.0, frozenset(), False)
    assert found.untaken == Untaken.UNSENT
    alone = step(answer, A)
    assert (targets(alone, A), alone.permit) == ([R.REJECTED], Permit.VOID)


def test_a_refusal_of_the_batch_goes_back_with_a_delay() -> None:
    found = step(TryLater("503"))
    assert targets(found) == [R.QUEUED] * 3
    assert (found.retry, found.block, found.permit) == (4.0, None, Permit.ENDED)


@pytest.mark.parametrize(
    ("answer", "spends"),
    [
        (TryLater("503"), True),
        (TryLater("429", scope="account"), False),
        (AccountFault("1202", Fault.MONEY), False),
        (Rejected("1203", numbers=frozenset({A})), False),
        (Rejected("400", suspect_numbers=True), False),
    ],
)
def test_only_a_refusal_for_its_own_sake_spends_a_try_of_who_goes_again(answer: Answer, *, spends: bool) -> None:
    assert step(answer).spends is spends


def test_a_call_that_never_left_gives_its_permit_back() -> None:
    assert step(TryLater("connect", left=False)).permit is Permit.VOID


@pytest.mark.parametrize(("after", "block"), [(7.0, 7.0), (0.0, 0.0), (None, POLICY.blocked)])
def test_a_rate_limit_blocks_the_queue_and_delays_nobody_beyond_that(after: float | None, block: float) -> None:
    found = step(TryLater("429", after=after, scope="account"))
    assert (found.block, found.retry) == (block, 0)
    assert targets(found) == [R.QUEUED] * 3


def test_rate_limits_never_use_up_the_tries() -> None:
    assert targets(step(TryLater("429", scope="account"), tried=POLICY.tries * 100)) == [R.QUEUED] * 3


def test_with_all_tries_spent_everyone_fails_with_the_reason() -> None:
    found = step(TryLater("503"), tried=POLICY.tries)
    assert found.move(A) == Move(R.FAILED, reason="503")
    assert targets(step(TryLater("503"), tried=POLICY.tries - 1)) == [R.QUEUED] * 3


def test_who_joined_a_call_of_those_that_were_tried_before_has_tries_of_its_own() -> None:
    found = next_step(TryLater("503"), {A: POLICY.tries, B: 1, C: 3}, POLICY, the_most)
    assert targets(found) == [R.FAILED, R.QUEUED, R.QUEUED]
    assert found.retry == back_off(None, 3, POLICY, the_most)


# ------------------------------------------------------------------------------------------------ account fault, unknown


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_halts_the_account_and_not_the_messages(fault: Fault) -> None:
    found = step(AccountFault("1302", fault, operator=True), tried=POLICY.tries * 100)
    assert found.halt == Halt(fault, "1302", operator=True, after=POLICY.suspension)
    assert targets(found) == [R.QUEUED] * 3


def test_an_unknown_outcome_moves_nobody_and_asks_for_evidence() -> None:
    found = step(Unknown("read-timeout"))
    assert targets(found) == [None] * 3
    assert (found.permit, found.resolve) == (Permit.GRACE, POLICY.resolve_after)


# -------------------------------------------------------------------------------------------------------- of every answer

numbers_of_batch = st.lists(st.sampled_from([A, B, C]), min_size=1, unique=True)
codes = st.sampled_from(["400", "429", "1203"])
answers = st.one_of(
    st.builds(Accepted, st.just("m-1"), st.dictionaries(st.sampled_from([A, B, C]), st.builds(RecipientAnswer, st.booleans()))),
    st.builds(Rejected, codes, st.frozensets(st.sampled_from([A, B, C])), st.booleans()),
    st.builds(TryLater, codes, st.none() | st.floats(0, 1e6), st.sampled_from(["account", "batch"]), st.booleans()),
    st.builds(AccountFault, codes, st.sampled_from(Fault), st.booleans()),
    st.builds(Unknown, codes),
)


def test_these_are_all_the_answers_there_are() -> None:
    assert set(get_args(Answer)) == {Accepted, Rejected, TryLater, AccountFault, Unknown}


@given(answers, numbers_of_batch, st.integers(1, 50), st.floats(0, 1))
def test_whatever_follows_can_be_settled(answer: Answer, numbers: list[str], attempts: int, share: float) -> None:
    found = next_step(answer, dict.fromkeys(numbers, attempts), POLICY, lambda most: most * share)
    for target in targets(found, *numbers):
        assert target is None or may_move(R.SENDING, target)
    assert found.retry >= 0
    assert found.block is None or found.block >= 0
    assert 0 <= found.most < max(2, len(numbers))
    waits_for_evidence = any(target is None for target in targets(found, *numbers))
    assert waits_for_evidence == (found.resolve is not None)


@given(answers, numbers_of_batch, st.integers(1, 50))
def test_nobody_is_sent_again_after_a_call_that_may_have_arrived(answer: Answer, numbers: list[str], attempts: int) -> None:
    found = next_step(answer, dict.fromkeys(numbers, attempts), POLICY, the_most)
    again = any(target is R.QUEUED for target in targets(found, *numbers))
    assert not (again and isinstance(answer, (Accepted, Unknown)))
    assert not (again and found.permit is Permit.GRACE)


# ---------------------------------------------------------------------------------------------------------------- back-off


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_delay_lies_between_nothing_and_the_most(attempts: int, share: float) -> None:
    delay = back_off(None, attempts, POLICY, lambda most: most * share)
    assert 0 <= delay <= min(POLICY.most, POLICY.base * 2.0 ** min(attempts, 60))


@given(st.integers(1, 1000))
def test_the_longest_delay_grows_with_the_attempts_until_the_most(attempts: int) -> None:
    longest = back_off(None, attempts, POLICY, the_most)
    assert back_off(None, attempts + 1, POLICY, the_most) == min(POLICY.most, longest * 2)


@given(st.floats(0, 1e6), st.integers(1, 1000), st.floats(0, 1))
def test_a_delay_that_the_provider_asked_for_is_never_cut_short(asked: float, attempts: int, share: float) -> None:
    delay = back_off(asked, attempts, POLICY, lambda most: most * share)
    assert asked <= delay <= asked + POLICY.base


# --------------------------------------------------------------------------------------------------------------- bad numbers


def test_blamed_numbers_are_remembered_for_as_long_as_the_policy_says() -> None:
    found = step(Rejected("1104", numbers=frozenset({B, "+243990000009"})))
    assert (found.bad, found.bad_for) == (frozenset({B}), POLICY.bad_number_ttl)


@pytest.mark.parametrize(
    "answer",
    [Rejected("1102"), Rejected("1101", suspect_numbers=True), Rejected("sender", frozenset({B}), lasting=False), Accepted("m-1")],
)
def test_without_blame_for_the_number_itself_nothing_is_remembered(answer: Answer) -> None:
    assert step(answer).bad == frozenset()


def test_a_policy_of_no_time_remembers_nothing() -> None:
    policy = Policy(bad_number_ttl=0)
    assert next_step(Rejected("1104", frozenset({B})), {A: 1, B: 1}, policy, the_most).bad == frozenset()


# --------------------------------------------------------------------------------------------------------- how a halt ends


@pytest.mark.parametrize(
    ("policy", "after", "permit"),
    [
        (Policy(asks=frozenset({Fault.MONEY}), probe_every=30.0), 30.0, False),
        (Policy(asks=frozenset({Fault.MONEY}), probe_every=30.0, asking_counts=True), 30.0, True),
        (Policy(asks=frozenset({Fault.KEY}), cool_down=600.0, asking_counts=True), 600.0, False),
    ],
    ids=["asked beside the limits", "asked within the limits", "a send tries after the cool-down"],
)
def test_a_halt_knows_when_and_how_it_is_probed(policy: Policy, after: float, *, permit: bool) -> None:
    found = next_step(AccountFault("1202", Fault.MONEY), {A: 1}, policy, the_most)
    assert found.halt == Halt(Fault.MONEY, "1202", operator=False, after=after, permit=permit)
