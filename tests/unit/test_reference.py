"""docs/reference is made of the code, and is what the code is now; and what the pages name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.reference import FOLDER, PAGES, page

DOCS = Path(__file__).parents[2] / "docs"
LINK = re.compile(r"\]\(([^)#:]+)(?:#([^)]+))?\)")
PATHS = sorted(one.relative_to(DOCS).as_posix() for one in DOCS.rglob("*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == page(name), "run: make reference"


def test_the_index_leads_to_every_page() -> None:
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    named = {(DOCS / path).resolve() for path, _ in LINK.findall(text)}
    missing = {path for path in PATHS if path != "README.md" and (DOCS / path).resolve() not in named}
    assert missing == set()


def headings(path: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", one)).strip().lower().replace(" ", "-") for one in titles
    }


@pytest.mark.parametrize("name", PATHS)
def test_what_a_page_links_to_is_there(name: str) -> None:
    page_path = DOCS / name
    text = re.sub(r"```.*?```|`[^`]*`", "", page_path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for path, heading in LINK.findall(text):
        target = (page_path.parent / path).resolve()
        assert target.exists(), path
        assert not heading or heading in headings(target), f"{path}#{heading}"
