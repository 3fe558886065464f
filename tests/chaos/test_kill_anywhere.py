"""A worker is killed right before and right after every durable step of the road: nothing is lost, nothing is sent twice.

The steps, and the call sites at which a worker makes them, are listed from the code (`tests.support.mortal`). A new one fails
the first tests here until a scenario kills a worker at it or a reason says why none does (`tests.chaos.deaths`).

Each case has an account of its own, whose only worker dies at the step; then healthy workers serve them all. What the
provider's books show afterwards, and what we say of each recipient, is told exactly: see `Case.end` and `Case.copies`.
"""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.chaos.deaths import CASES, NO_WORKERS, NOT_KILLED, SCENARIOS, TERMS, Case
from tests.support import mortal
from tests.support.houses import key_of, open_house
from tests.support.producers import configure
from tests.support.victims import Victim

from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support import servers
    from tests.support.houses import House

    from tuma_producer import Event, Intent

AT_ONCE = 8  # workers that die at the same time
EARLIER = "An earlier campaign"
KNOWN = {"tuma.intent.custody-handed-over", "tuma.intent.custody-unknown-at-provider"}


def test_every_durable_step_is_made_somewhere_in_a_worker_or_a_reason_says_who_makes_it() -> None:
    made = {site.step for site in mortal.sites()}
    assert made.isdisjoint(NO_WORKERS)
    assert made | NO_WORKERS.keys() == mortal.steps()


def test_every_call_site_of_a_durable_step_has_a_scenario_or_a_reason_for_having_none() -> None:
    killed_at = {(scenario.step, scenario.site) for scenario in SCENARIOS}
    assert killed_at.isdisjoint(NOT_KILLED)
    assert killed_at | NOT_KILLED.keys() == {(site.step, site.name) for site in mortal.sites()}


# ----------------------------------------------------------------------------------------------------------- what happened


@dataclass(frozen=True)
class Aftermath:
    """What is known of a case when all is over."""

    exit_status: int | None
    intents: list[Intent]
    events: list[Event]
    copies: dict[str, int]


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    with open_house(server, {account: case.settings for case in CASES for account in case.accounts}) as found:
        yield found


@pytest.fixture(scope="module")
def aftermath(house: House) -> dict[str, Aftermath]:
    """Let a worker of every case die, then let healthy ones finish all roads."""
    configure(house.redis, *(account for case in CASES for account in case.accounts), keeps=TERMS.published)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        deaths = list(pool.map(lambda case: dies(house, case), CASES))
    # A receipt that is still on its way when nobody waits for it any longer corrects an end. That is another story.
    house.sandbox.until(lambda books: books["webhooks"]["pending"] == 0)
    for swept in (True, False):
        house.worker(threads=4, **only(house, [case for case in CASES if case.scenario.road.swept is swept]))
    found = {}
    for case, (intent_ids, exit_status) in zip(CASES, deaths, strict=True):
        if case.scenario.road.kept:
            cancel(house, intent_ids)
        events = told(house, case, intent_ids)
        occurrences = [event.data["occurrence"] for event in events if event.type == "tuma.intent.fired"]
        intents = [house.producer.get(intent_id) for intent_id in occurrences or intent_ids]
        found[case.account] = Aftermath(exit_status, intents, events, dict.fromkeys(case.to, 0))
    case_of = {account: case.account for case in CASES for account in case.accounts}
    for call in house.sandbox.books()["accepted"]:
        for number in call["recipients"] if call["message"] != EARLIER else ():
            found[case_of[call["key"]]].copies[number] += 1
    return found


def only(house: House, cases: Sequence[Case]) -> dict[str, str]:
    """The environment of a worker that has the accounts of these cases alone, and sweeps them often where one of them needs that.

    A sweep looks at all that is in the server, for each account anew.
    """
    accounts = json.loads(house.tuma.environment["TUMA_ACCOUNTS"])
    own = {account: accounts[account] for case in cases for account in case.accounts}
    return {"TUMA_ACCOUNTS": json.dumps(own), "TUMA_SWEEP_EVERY": "1" if any(case.scenario.road.swept for case in cases) else "60"}


def keep_books(house: House, account: str) -> None:
    """Let there be an earlier campaign: only books that reach back to before a call prove that it never arrived."""
    body = {"recipients": ["+254790000001", "+254790000002"], "message": EARLIER}
    headers = {"Authorization": f"Bearer {key_of(account)}"}
    httpx.post(f"{house.sandbox.url}/lineserve/v1/sms/bulk", json=body, headers=headers).raise_for_status()


def dies(house: House, case: Case) -> tuple[list[str], int | None]:
    """Send what the case sends and start the worker that dies of it. Returns the intents and how it ended; None where it lives."""
    if case.scenario.road.provider == "lineserve":
        for account in case.accounts:
            keep_books(house, account)
    if case.scenario.road.fault:
        house.sandbox.arm(**case.scenario.road.fault, to=case.to[:1])
    intent_ids = [receipt.id for receipt in house.producer.enqueue_many(case.sends)]
    if case.scenario.road.jobs_lost:
        queue = AccountKeys(case.account).queue("send")
        house.redis.delete(queue.due if case.scenario.road.scheduled else queue.entries)
    fate = mortal.fate(case.scenario.step, case.side, case.scenario.site, skip=case.scenario.skip)
    victim = Victim(**house.tuma.environment | only(house, [case]) | fate)
    try:
        if case.scenario.road.cancelled:
            cancel(house, intent_ids)
        return intent_ids, victim.ended()
    finally:
        victim.kill()


def cancel(house: House, intent_ids: Sequence[str]) -> None:
    """Ask for a cancel of these, once the provider has them, or nobody can tell whether it has."""
    for intent_id in intent_ids:
        events = (event for event in house.account_events(intent_id.rpartition(".")[0]) if event.intent == intent_id)
        assert next((event for event in events if event.type in KNOWN), None), house.last_words()
        house.producer.cancel(intent_id)


def told(house: House, case: Case, intent_ids: Sequence[str]) -> list[Event]:
    """All that is told of these intents until the last of them is done; what there is of it, where that does not come."""
    waiting, events = set(intent_ids), []
    for event in house.account_events(case.account):
        events.append(event)
        if event.type == "tuma.intent.fired":
            waiting.add(event.data["occurrence"])
        if event.type == "tuma.intent.done":
            waiting.discard(event.intent or "")
        if not waiting:
            break
    return events


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_worker_that_is_killed_at_a_step_loses_nothing_and_sends_nothing_twice(
    aftermath: dict[str, Aftermath], case: Case
) -> None:
    after = aftermath[case.account]
    assert len(after.intents) == len(list(case.sends))
    assert after.exit_status != -signal.SIGABRT, "it made a step at a call site that is not listed: see its standard error"
    assert after.exit_status == -signal.SIGKILL, "it never came to the step"
    assert set(after.copies.values()) == {case.copies}
    state = "cancelled" if case.end == "cancelled" else "done"
    assert [intent.state for intent in after.intents] == [state] * len(after.intents)
    ends: dict[str, str] = {one.number: one.state for intent in after.intents for one in intent.recipients}
    assert ends == dict.fromkeys(case.to, case.end)
    for intent in after.intents:
        assert intent.counts == {case.end: len(intent.recipients)}
        sequence = [event.sequence for event in after.events if event.intent == intent.id]
        assert sequence == list(range(1, len(sequence) + 1))
    assert told_ends(after.events, case.end) == dict.fromkeys(case.to, 1)


def told_ends(events: Sequence[Event], end: str) -> dict[Any, int]:
    """How often each recipient was told to have come to this end."""
    told: dict[Any, int] = {}
    for event in events:
        if event.type == f"tuma.recipient.{end}":
            told[event.recipient] = told.get(event.recipient, 0) + 1
    return told
