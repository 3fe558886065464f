"""How the labels are bounded, and that the documentation knows every counter."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import REGISTRY

from tuma_worker.metrics import OTHER, Names

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_so_many_names_are_let_through_and_every_further_one_is_other() -> None:
    names = Names(2)
    assert [names.bounded(name) for name in ("a", "b", "c", "a", "c", "b")] == ["a", "b", OTHER, "a", OTHER, "b"]


def test_every_counter_has_its_line_in_the_documentation() -> None:
    ours = [family for family in REGISTRY.collect() if family.name.startswith("tuma_")]
    there_are = {f"{family.name}_total" if family.type == "counter" else family.name for family in ours}
    assert set(re.findall(r"^\| `(tuma_\w+)`", DOCS.read_text(encoding="utf-8"), re.MULTILINE)) == there_are
