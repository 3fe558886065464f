"""Each promise in the documentation names tests, and each of them is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PROMISES = dict(re.findall(r"^## (\d)\. .*\n((?:(?!## ).*\n?)*)", (DOCS / "promises.md").read_text(encoding="utf-8"), re.MULTILINE))
LINK = re.compile(r"\[(\w+)\]\((\.\./tests/[\w/]+\.py)\)")


@cache
def named_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_there_are_nine_promises() -> None:
    assert list(PROMISES) == [str(number) for number in range(1, 10)]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_links_to_tests_that_exist(promise: str) -> None:
    links = LINK.findall(PROMISES[promise])
    assert len(links) >= 2
    assert len(links) == PROMISES[promise].count("../tests/"), "a link that does not name a test"
    missing = [(name, path) for name, path in links if name not in named_in((DOCS / path).resolve())]
    assert missing == []
    assert all(name.startswith("test_") for name, _ in links)
