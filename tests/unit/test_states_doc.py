"""The documentation's picture of the states is the table's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuma_worker.core.states import RecipientState, corrections, diagram

PAGE = (Path(__file__).parents[2] / "docs" / "states.md").read_text(encoding="utf-8")


def test_the_diagram_in_the_documentation_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in PAGE


@pytest.mark.parametrize("state", RecipientState)
def test_the_documentation_says_what_each_state_means(state: RecipientState) -> None:
    assert f"| `{state}` | " in PAGE


@pytest.mark.parametrize(("end", "targets"), corrections().items())
def test_the_documentation_lists_each_correction_of_an_end(end: RecipientState, targets: list[RecipientState]) -> None:
    assert f"| `{end}` | {', '.join(f'`{target}`' for target in targets) or 'nothing'} |" in PAGE
