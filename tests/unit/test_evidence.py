"""What follows from a look for evidence."""

from __future__ import annotations

import pytest

from tuma_worker.core.answers import Accepted, Trace, Traced, Untold
from tuma_worker.core.evidence import LOOKS, TRIES, Decision, Found, Judgement, judge

ONE, OTHER = Accepted("p-1"), Accepted("p-2")
EMPTY, PARTIAL, SILENT = Traced((), complete=True), Traced((), complete=False), Untold("unreadable-books")


APART = 60.0


def looks(count: int, apart: float = APART) -> list[float]:
    """When so many looks began, so far apart."""
    return [1000.0 + place * apart for place in range(count)]


def test_the_only_stranger_in_the_books_is_adopted_at_the_first_look() -> None:
    assert judge(Traced((ONE,), complete=False), (ONE,), looks(1), APART, "hold") == Judgement(Found.ONE, Decision.ADOPTED, ONE)


def test_what_two_looks_at_complete_books_do_not_find_was_never_taken() -> None:
    assert judge(EMPTY, (), looks(LOOKS - 1), APART, "resend") == Judgement(Found.NOTHING, Decision.LOOK_AGAIN)
    assert judge(EMPTY, (), looks(LOOKS), APART, "hold") == Judgement(Found.NOTHING, Decision.ABSENT)


def test_looks_that_follow_each_other_too_soon_prove_no_absence() -> None:
    soon = looks(2, apart=15.0)
    assert judge(EMPTY, (), soon, APART, "hold") == Judgement(Found.NOTHING, Decision.LOOK_AGAIN)
    assert judge(EMPTY, (), [*soon, soon[0] + APART], APART, "hold") == Judgement(Found.NOTHING, Decision.ABSENT)
    assert judge(EMPTY, (), looks(TRIES, apart=1.0), APART, "hold") == Judgement(Found.NOTHING, Decision.UNKNOWN), (
        "it ends some time"
    )


@pytest.mark.parametrize(
    ("trace", "strangers", "found"),
    [
        (PARTIAL, (), Found.INCOMPLETE),
        (SILENT, (), Found.UNREADABLE),
        (Traced((ONE, OTHER), complete=True), (ONE, OTHER), Found.SEVERAL),
    ],
)
def test_what_tells_nothing_is_looked_at_again_until_the_intents_wish_decides(
    trace: Trace, strangers: tuple[Accepted, ...], found: Found
) -> None:
    for count in range(1, TRIES):
        assert judge(trace, strangers, looks(count), APART, "resend") == Judgement(found, Decision.LOOK_AGAIN)
    assert judge(trace, strangers, looks(TRIES), APART, "hold") == Judgement(found, Decision.UNKNOWN)
    assert judge(trace, strangers, looks(TRIES), APART, "resend") == Judgement(found, Decision.RESENT)
