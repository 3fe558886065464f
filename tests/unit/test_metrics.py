"""How the labels are bounded."""

from __future__ import annotations

from tuma_worker.metrics import OTHER, Names


def test_so_many_names_are_let_through_and_every_further_one_is_other() -> None:
    names = Names(2)
    assert [names.bounded(name) for name in ("a", "b", "c", "a", "c", "b")] == ["a", "b", OTHER, "a", OTHER, "b"]
