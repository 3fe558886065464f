"""`tuma budgets`: set, heeded, shown and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Tuma

SEND = ("send", "--account", "lisoloo-main", "--to", "+243990000001", "--message", "Karibu")


def test_what_would_exceed_a_budget_is_refused_in_one_line_until_the_budget_is_removed(tuma: Tuma) -> None:
    tuma.send("--account", "lisoloo-main")
    assert tuma("budgets", "list", "lisoloo-main").out == "lisoloo-main has no budgets: every source may use what it wants\n"
    assert tuma("budgets", "set", "lisoloo-main", "cli", "1 messages/month").out == "lisoloo-main, cli: 1 messages/month\n"
    assert tuma(*SEND).status == 0
    foreseen = tuma(*SEND, "--dry-run")
    assert (foreseen.status, foreseen.out.splitlines()[0]) == (1, "verdict: refused")
    refused = tuma(*SEND)
    said = "error: source: 'cli' may use 1 messages a month and has used 1; this send wants 1; the next month begins at "
    assert (refused.status, refused.err[: len(said)]) == (2, said)
    (listed,) = tuma("budgets", "list", "lisoloo-main", "--json").json
    assert listed.pop("since").endswith("-01")
    assert listed == {"source": "cli", "period": "month", "most": "1", "unit": "messages", "price": None, "used": "1"}
    assert tuma("budgets", "list", "lisoloo-main").out.splitlines()[1].split()[:4] == ["cli", "1", "messages/month", "1"]
    assert tuma("budgets", "remove", "lisoloo-main", "cli", "month").out == "lisoloo-main, cli: removed\n"
    assert tuma(*SEND).status == 0


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("set", "nobody", "cli", "1 messages/day"), "account: 'nobody' is not configured"),
        (("remove", "lisoloo-main", "cli", "week"), "PERIOD: 'week' is not one of day, month"),
    ],
)
def test_mistakes_are_one_line(tuma: Tuma, command: tuple[str, ...], error: str) -> None:
    ran = tuma("budgets", *command)
    assert (ran.status, ran.err[: len(error) + 7], ran.err.count("\n")) == (2, f"error: {error}", 1)
