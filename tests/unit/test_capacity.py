"""What a load needs grows with it, and what runs out first is what the figures say."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.programs import Tuma

from tuma_worker.core.capacity import GIB, LEVERS, MEASURED, Load, Site, demand

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "scaling.md"
BENCHES = ROOT / "tests" / "bench" / "README.md"
LOADS = st.builds(
    Load, accounts=st.integers(1, 5000), calls=st.floats(0.01, 100), recipients=st.floats(1, 1000), seconds=st.floats(0.01, 30)
)
SITES = st.builds(Site, threads=st.integers(1, 64), per_worker=st.integers(1, 5000), nodes=st.integers(1, 30))


@given(LOADS, SITES)
def test_twice_the_accounts_need_no_less_of_anything_and_leave_no_more_room(load: Load, site: Site) -> None:
    one, two = demand(load, site), demand(replace(load, accounts=2 * load.accounts), site)
    assert two.workers >= one.workers
    assert two.slots >= one.slots
    assert two.redis_cores >= one.redis_cores
    assert two.redis_bytes == pytest.approx(2 * one.redis_bytes)
    assert all(two.room[part] <= one.room[part] * 1.0001 for part in one.room)


@given(LOADS, SITES)
def test_twice_the_masters_bear_twice_as_much_of_all_but_one_account(load: Load, site: Site) -> None:
    one, two = demand(load, site), demand(load, replace(site, nodes=2 * site.nodes))
    assert two.room == pytest.approx({part: room if part == "one account" else 2 * room for part, room in one.room.items()})


@pytest.mark.parametrize(
    ("load", "site", "first"),
    [
        (Load(accounts=1, calls=2000, hours=0.001, backlog=0), Site(nodes=10, node_memory=10_000 * GIB), "one account"),
        (Load(accounts=2000, calls=2, hours=0.001, backlog=0), Site(per_worker=2000, node_connections=10**9), "redis cores"),
        (Load(accounts=10, calls=1), Site(), "memory"),
        (Load(accounts=2000, calls=0.001, hours=0.001), Site(), "connections"),
    ],
)
def test_what_runs_out_first_has_a_lever(load: Load, site: Site, first: str) -> None:
    found = demand(load, site)
    assert found.first == first
    assert LEVERS[first]


def test_an_account_at_sixty_calls_a_minute_needs_two_workers_and_next_to_nothing() -> None:
    found = demand(Load(accounts=1, calls=1), Site())
    assert (found.workers, found.slots) == (2, 1)
    assert found.redis_cores < 0.01


def test_the_document_shows_what_the_command_says_and_reckons_with_the_figures_that_it_names() -> None:
    text = DOC.read_text(encoding="utf-8")
    shown = re.search(r"^\$ tuma simulate\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert shown is not None
    said = [line.rstrip() for line in Tuma()("simulate").out.splitlines()]
    assert shown[1].splitlines() == said
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|.*\| (.*) \|$", text, re.MULTILINE)
    costs = asdict(MEASURED)
    assert {name: float(value) for name, value, _ in rows} == {
        name: round(cost * 1000, 4) if isinstance(cost, float) else cost for name, cost in costs.items()
    }
    printed = set(re.findall(r"`(\w+)`", BENCHES.read_text(encoding="utf-8")))
    for name, _, source in rows:
        named = set(re.findall(r"`(\w+)`", source))
        assert named & printed, name
        assert named <= printed | costs.keys(), name


@pytest.mark.parametrize(
    ("options", "room"),
    [
        ("--accounts 1", "37"),
        ("--accounts 1 --events-days 1 --records-days 1 --receipts-days 1", "100"),
        ("--accounts 1 --records-days 1", "60"),
        ("--accounts 1 --events-days 1", "43"),
        ("--accounts 5000 --memory 0.1", "0.000046"),
    ],
)
def test_the_room_has_two_digits_and_no_exponent(options: str, room: str) -> None:
    _columns, shown, _lever = Tuma()("simulate", *options.split()).out.splitlines()
    assert shown.split()[-1] == room


def test_the_command_as_json_and_its_mistakes() -> None:
    (found,) = Tuma()("simulate", "--accounts", "1000", "--masters", "3", "--json").json
    assert (found["accounts"], found["lever"]) == (1000, LEVERS[found["first"]])
    for limit, words in (("fast", "--limit: limit 'fast'"), ("100 messages/h", "--limit: '100 messages/h' counts messages")):
        ran = Tuma()("simulate", "--limit", limit)
        assert (ran.status, ran.err.startswith(f"error: {words}")) == (2, True)
