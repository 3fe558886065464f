"""What follows from a look for evidence."""

from __future__ import annotations

import pytest

from tuma_worker.core.answers import Accepted, Trace, Traced, Untold
from tuma_worker.core.evidence import LOOKS, TRIES, Decision, Finding, Found, judge

ONE, OTHER = Accepted("p-1"), Accepted("p-2")
EMPTY, PARTIAL, SILENT = Traced((), complete=True), Traced((), complete=False), Untold("unreadable-books")


def test_the_only_stranger_in_the_books_is_adopted_at_the_first_look() -> None:
    assert judge(Traced((ONE,), complete=False), (ONE,), 1, "hold") == Finding(Found.ONE, Decision.ADOPTED, ONE)


def test_what_two_looks_at_complete_books_do_not_find_was_never_taken() -> None:
    assert judge(EMPTY, (), LOOKS - 1, "resend") == Finding(Found.NOTHING, Decision.LOOK_AGAIN)
    assert judge(EMPTY, (), LOOKS, "hold") == Finding(Found.NOTHING, Decision.ABSENT)


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
    for looks in range(1, TRIES):
        assert judge(trace, strangers, looks, "resend") == Finding(found, Decision.LOOK_AGAIN)
    assert judge(trace, strangers, TRIES, "hold") == Finding(found, Decision.UNKNOWN)
    assert judge(trace, strangers, TRIES, "resend") == Finding(found, Decision.RESENT)
