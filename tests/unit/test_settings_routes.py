"""Routes in the settings: accounts by prefix, and the rules for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.conftest import problems

from tuma_worker.settings import load_settings, masked

if TYPE_CHECKING:
    from collections.abc import Callable


def test_routes_are_tables_in_the_file_and_a_json_object_in_a_variable_prefix_by_prefix(
    given: Callable[..., None], config: Callable[[str], str]
) -> None:
    config('[routes.everybody]\n"+243" = ["lisoloo-main", "lisoloo-spare"]\n"*" = "world"\n')
    given(TUMA_ROUTES=json.dumps({"everybody": {"*": ["rest"]}, "kenya": {"+254": ["lineserve-main"]}}))
    settings = load_settings()
    assert settings.routes == {
        "everybody": {"+243": ("lisoloo-main", "lisoloo-spare"), "*": ("rest",)},
        "kenya": {"+254": ("lineserve-main",)},
    }
    assert settings.accounts == {}  # a worker need not have all accounts of its routes
    assert masked(settings)["routes"]["everybody"] == {"*": ["rest"], "+243": ["lisoloo-main", "lisoloo-spare"]}


ONCE = "must name 1 to 9 accounts, each once; correct the list"


@pytest.mark.parametrize(
    ("route", "place", "rule"),
    [
        ({}, "r", "must have accounts for at least one prefix, or for '*', all other numbers; add them"),
        ({"243": ["a"]}, "r", "has '243', which is neither a prefix such as +243 nor '*' for all other numbers; correct it"),
        ({"+24324324": ["a"]}, "r", "has '+24324324', which is neither a prefix such as +243 nor '*' for all other numbers"),
        ({"+243\n": ["a"]}, "r", "has '+243\\n', which is neither a prefix"),
        ({"+243": []}, "r.+243", ONCE),
        ({"+243": ["a", "b", "a"]}, "r.+243", ONCE),
        ({"+243": [f"a{n}" for n in range(10)]}, "r.+243", ONCE),
        ({"+243": ["a", "No Name"]}, "r.+243", "String should match pattern"),
        (
            {"+243": ["a", "b"], "+254": ["c"], "*": ["a"]},
            "r",
            "has two lists that begin with 'a', for '+243' and '*'; make them the same",
        ),
    ],
)
def test_a_route_that_breaks_a_rule_is_refused(
    given: Callable[..., None], route: dict[str, list[str]], place: str, rule: str
) -> None:
    given(TUMA_ROUTES=json.dumps({"r": route}))
    (line,) = problems()
    assert line.startswith(f"TUMA_ROUTES ({place})")
    assert rule in line


def test_a_mistake_in_a_route_of_the_file_is_told_with_its_place(config: Callable[[str], str]) -> None:
    path = config('[routes.everybody]\n"+243" = []\n')
    assert problems() == [f"{path} (routes.everybody.+243): {ONCE}"]


def test_nine_accounts_are_a_route(given: Callable[..., None]) -> None:
    given(TUMA_ROUTES=json.dumps({"r": {"*": [f"a{n}" for n in range(9)]}}))
    assert len(load_settings().routes["r"]["*"]) == 9


def test_a_route_name_is_made_as_an_accounts(given: Callable[..., None]) -> None:
    given(TUMA_ROUTES=json.dumps({"Every Body": {"*": ["a"]}}))
    (line,) = problems()
    assert line.startswith("TUMA_ROUTES (Every Body): is not a name that can stand here; accounts, routes: a-z, 0-9 and '-'")


def test_routes_that_are_no_tables_are_refused(given: Callable[..., None], config: Callable[[str], str]) -> None:
    path = config("routes = ['everybody']\n")
    assert problems() == [f"{path} (routes): must be tables, one [routes.NAME] for each route; correct it"]
    given(TUMA_ROUTES="[]")
    assert problems() == ["TUMA_ROUTES: must be a JSON object, from route names to routes; correct it"]
