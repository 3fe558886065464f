"""The tables of a Markdown page, by the heading above them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Accepted, AccountFault, TryLater, Unknown
from tuma_worker.providers.http import FAILURES
from tuma_worker.providers.verdicts import STATUS_CLASSES, STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_worker.core.answers import Answer
    from tuma_worker.providers.verdicts import Rule

DOCS = Path(__file__).parents[2] / "docs" / "providers"
NONE = "\N{EN DASH}"

Row = dict[str, str]


def tables(page: str) -> dict[str, list[Row]]:
    """Every row under each heading of `docs/providers/<page>.md`. Backticks are dropped."""
    found: dict[str, list[Row]] = defaultdict(list)
    heading, columns = "", None
    for line in (DOCS / f"{page}.md").read_text().splitlines():
        if line.startswith("#"):
            heading, columns = line.lstrip("# "), None
        elif not line.startswith("|"):
            columns = None
        elif columns is None:
            columns = _cells(line)
        elif not set(line) <= set("|-"):
            found[heading].append(dict(zip(columns, _cells(line), strict=True)))
    return dict(found)


def column(rows: list[Row], key: str, *values: str) -> dict[str, tuple[str, ...]]:
    """`key` of each row to its `values`. A key that comes twice is an error of the page."""
    keys = [row[key] for row in rows if key in row]
    assert len(set(keys)) == len(keys), "a row is there twice"
    return {row[key]: tuple(row[value] for value in values) for row in rows if key in row}


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]


def rules(table: Mapping[str, Rule] | Mapping[int, Rule]) -> dict[str, tuple[str, ...]]:
    """A table of the code as a page writes it: answer, if retryable, if not, waits, alarm."""
    return {
        str(key): (
            rule.verdict,
            rule.retryable or NONE,
            rule.final or NONE,
            NONE if rule.after is None else f"{rule.after:g}",
            "yes" if rule.alarm else NONE,
        )
        for key, rule in table.items()
    }


def shared_tables(page: str) -> tuple[dict[str, object], dict[str, object]]:
    """What a page says of statuses and of the network, and what the code says."""
    found = tables(page)
    documented: dict[str, object] = {
        "statuses": column(found["Statuses without a code"], "Status", "Answer", "Waits (s)"),
        "classes": column(found["Other statuses"], "Class", "Answer"),
        "failures": column(found["When no response comes"], "Failure (httpx)", "Answer", "Code"),
    }
    coded: dict[str, object] = {
        "statuses": {status: (row[0], row[3]) for status, row in rules(STATUSES).items()},
        "classes": {f"{first}xx": row[:1] for first, row in rules(STATUS_CLASSES).items()},
        "failures": {
            kind.__name__: (_words(answer), answer.code) for kind, answer in FAILURES.items() if not isinstance(answer, Accepted)
        },
    }
    return documented, coded


def _words(answer: Answer) -> str:
    match answer:
        case TryLater(left=False, scope="batch", after=None):
            return "try later, never left"
        case AccountFault(fault=fault, operator=False):
            return f"account fault, {fault}"
        case Unknown():
            return "unknown"
    message = f"no words for {type(answer).__name__}"
    raise AssertionError(message)
