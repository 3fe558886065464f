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
LONG = "pytest.mark.long"


@cache
def named_in(path: Path) -> dict[str, bool]:
    """The functions of a module, and whether each is left out of the short runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned = [one for one in tree.body if isinstance(one, ast.Assign)]
    marks = [ast.unparse(one.value) for one in assigned if "pytestmark" in map(ast.unparse, one.targets)]
    found = [one for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {one.name: any(LONG in mark for mark in [*marks, *map(ast.unparse, one.decorator_list)]) for one in found}


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


def test_a_promise_says_which_of_its_tests_are_long() -> None:
    lines = [(line, *link) for promise in PROMISES.values() for line in promise.splitlines() for link in LINK.findall(line)]
    wrong = [name for line, name, path in lines if named_in((DOCS / path).resolve())[name] != ("(long)" in line)]
    assert wrong == []


def test_a_long_test_is_known_by_its_own_mark_or_by_that_of_its_module() -> None:
    e2e = DOCS.parent / "tests" / "e2e"
    demo, scale = named_in(e2e / "test_demo.py"), named_in(e2e / "test_scale.py")
    assert 0 < sum(demo.values()) < len(demo)
    assert all(scale.values())
