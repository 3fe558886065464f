"""When a provider is asked about a call, and what its counts prove: checked against the truth that they count."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tuma_worker.core.polling import MOST_APART, Overdue, Silent, alike, asks_again
from tuma_worker.core.states import RecipientState

R = RecipientState
MINUTE = 60_000
AFTER = 15 * MINUTE
ENDS = st.sampled_from([R.DELIVERED, R.FAILED, R.UNDELIVERED, R.REJECTED, R.EXPIRED])


def call(size: int, told: Counter[RecipientState]) -> Overdue:
    silent = {f"+24399000{place:04}": Silent("intent", "") for place in range(size - told.total())}
    return Overdue("batch", "provider-1", 0, "", size, silent, told)


def test_a_call_is_asked_about_when_it_has_waited_and_again_when_it_has_waited_as_long_again() -> None:
    asked: list[int] = []
    while (at := asks_again(0, asked, AFTER)) <= 72 * 60 * MINUTE:
        asked.append(at)
    assert [at // MINUTE for at in asked] == [15, 30, 60, 120, 240, 480, 960, 1680, 2400, 3120, 3840]
    assert max(later - earlier for earlier, later in pairwise(asked)) == MOST_APART


def test_a_question_that_came_late_does_not_bring_the_next_one_forward() -> None:
    assert asks_again(0, [5 * AFTER], AFTER) == 10 * AFTER


@given(truth=st.lists(st.tuples(ENDS, st.booleans()), min_size=1, max_size=12), open_=st.integers(0, 2))
def test_what_counts_are_said_to_prove_is_true_of_everybody_of_whom_nothing_was_told(
    truth: list[tuple[RecipientState, bool]], open_: int
) -> None:
    told = Counter(state for state, is_told in truth if is_told)
    untold = [state for state, is_told in truth if not is_told]
    delivered = sum(state is R.DELIVERED for state, _ in truth)
    size = len(truth) + open_
    proven = alike(call(size, told), total=size, delivered=delivered, failed=len(truth) - delivered)
    kinds = {state is R.DELIVERED for state in untold}
    if open_ or len(kinds) > 1:
        assert proven is None
    elif untold:
        assert proven is (R.DELIVERED if kinds == {True} else R.FAILED)


def test_counts_that_are_missing_or_of_another_call_prove_nothing() -> None:
    two = call(2, Counter())
    assert alike(two, total=2, delivered=2, failed=0) is R.DELIVERED
    assert alike(two, total=3, delivered=3, failed=0) is None
    assert alike(two, total=2, delivered=None, failed=0) is None
    assert alike(two, total=None, delivered=2, failed=0) is None
