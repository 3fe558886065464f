"""A worker is killed right before and right after every durable step of the road: nothing is lost, nothing is sent twice.

The steps are listed from the code (`tests.support.mortal`). A new one fails the first test here until a scenario kills a worker at
it or a reason says why no worker can be. A scenario is a line in `SCENARIOS`: the step, and the road on which a worker comes by it.

Each case has an account of its own, whose only worker dies at the step; then one healthy worker serves them all. What the
provider's books show afterwards, and what we say of each recipient, is told exactly: see `Case.end` and `Case.copies`.
"""

from __future__ import annotations

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.support import mortal
from tests.support.houses import key_of, open_house
from tests.support.producers import configure

from tuma_producer import At, Send
from tuma_producer.contract.custody import Terms
from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support import servers
    from tests.support.houses import House, Settings

    from tuma_producer import Event, Intent

NO_SCENARIO = {
    "contract.schedule": "a producer's, as is enqueue",
    "contract.hand_over": "a producer's, as is enqueue",
    "contract.ask": "as withdraw",
    "store.tally": "as apply, which a receipt is counted by once however often it is tried; tested with custody",
    "store.receive": "as file",
    "store.park": "as file; what is parked, or not yet, is looked at again: tested with receipts",
    "contract.reschedule": "as withdraw",
    "contract.withdraw": "a step of a cancel or a pause; who got no answer asks again, and a mover looks again: tested with both",
    "contract.edit": "as withdraw",
    "contract.hold_campaign": "as withdraw; dying between the steps of a campaign's verb is tested with campaigns",
    "contract.page_campaign": "only looks",
    "store.forget_campaign": "comes a retention time later, and the next look does what is left; tested with campaigns",
    "contract.resume": "as withdraw",
    "contract.suppress": "a producer's or an operator's, who asks again and finds the numbers there; no worker makes it",
    "contract.unsuppress": "as suppress",
    "store.lead": "ends by itself: whoever leads and dies is followed; tested with every duty",
    "store.set_tokens": "an operator's, who asks again; all of a change is there, or nothing",
    "store.set_budget": "as set_tokens",
    "store.subscribe": "an operator's, who asks again; a subscription and its place are there together or not at all",
    "store.unsubscribe": "as subscribe",
    "store.amend": "an operator's; or a worker's that disables a subscriber, which the next one does as well: see test_pushing",
    "store.warn": "says something, once; who comes after looks again",
    "store.reckon": "a reading of the balance: who follows reads it anew, and what was spent stands; tested with the reserve",
    "store.rights": "only looks",
    "store.age": "the next look does what is left, and a repeat changes nothing: tested with ages",
    "store.forget": "an operator's, who asks again and finds the rest: tested with forgetting",
    "store.plan": "an operator's command: see test_kill_an_operator",
    "store.leave": "an operator's command: see test_kill_an_operator",
}

SIDES = ("before", "after")
PER_INTENT = 100  # recipients of an intent: a batch of a thousand carries ten of them
AT_ONCE = 6  # workers that die at the same time

TERMS = Terms(tz="Africa/Kinshasa", lead=120_000, dates=20, dispatches=1000, recipients=1000)

# Leases and patience are short, but a worker on a busy machine must not lose its lease by being slow.
HASTY: Settings = {"lease": 3, "resolve_after": 1, "timeout": 10}


@dataclass(frozen=True)
class Road:
    """What happens to the first call at the provider, if anything, and where its recipients end when no worker dies.

    `account` is what the account is set to beside haste. With `jobs_lost` the line forgets what was put into it. With `spare` there
    is a second account to fail over to. With `kept` the provider keeps the date, which is cancelled when all is over, or
    `cancelled` while the worker that is to die lives.
    """

    provider: str
    fault: Settings = field(default_factory=dict)
    send: Settings = field(default_factory=dict)
    account: Settings = field(default_factory=dict)
    jobs_lost: bool = False
    end: str = "delivered"
    copies: int = 1
    scheduled: bool = False
    spare: bool = False
    kept: bool = False
    cancelled: bool = False


OPEN = Road("lisoloo")
OPEN_WITH_BOOKS = Road("lineserve")
SLOW = Road("lineserve", {"kind": "accept_then_hang", "seconds": 4})  # longer than a third of the lease
ANSWER_LOST = Road("lineserve", {"kind": "accept_then_reset", "receipts": "late", "seconds": 15})
NEVER_ARRIVED = Road("lineserve", {"kind": "reset_after_reading"})
NEVER_KNOWN = Road("lisoloo", {"kind": "accept_then_reset", "receipts": "none"}, end="unknown")
SCHEDULED = Road("lineserve", scheduled=True)
TOO_LATE = Road("lisoloo", send={"expires_in": 0.05}, end="expired", copies=0)
PROBED = Road("lisoloo", {"kind": "insufficient_balance"}, account={"probe_every": 0.2})
PROBED_IN_LINE = Road("lineserve", {"kind": "suspended_key"}, account={"probe_every": 0.2})
TRIED_BY_ONE_SEND = Road("lineserve", {"kind": "insufficient_balance"}, account={"cool_down": 0.2})
# The worker that dies may have a call of the spare account under way: books tell what became of that.
CARRIED = Road("lineserve", {"kind": "insufficient_balance"}, account={"cool_down": 600}, spare=True)
# One of two is refused by both accounts, the other waits behind it at both, is never called there, and goes home.
HANDED_BACK = Road(
    "lisoloo",
    {"kind": "insufficient_balance", "count": 2},
    account={"probe_every": 5, "batch_max": 1, "limits": ["1 calls/2s"]},
    spare=True,
)
HANDED_OVER = Road("lisoloo", kept=True, end="cancelled")
STEERED = Road("lisoloo", kept=True, cancelled=True, end="cancelled")
SWEPT_UP = Road("lineserve", jobs_lost=True)


@dataclass(frozen=True)
class Scenario:
    """A step, the road that leads by it, how often it is passed before, and how many recipients the call has."""

    step: str
    road: Road
    skip: int = 0
    sizes: tuple[int, ...] = (1, 1000)


OF_EVERY_SEND = ("queue.claim", "store.begin", "provider.send", "store.settle")
SCENARIOS = [
    *(Scenario(step, OPEN, sizes=(1,)) for step in OF_EVERY_SEND),
    *(Scenario(step, OPEN_WITH_BOOKS) for step in OF_EVERY_SEND),
    Scenario("queue.renew", SLOW, sizes=(1000,)),
    Scenario("queue.push", ANSWER_LOST, sizes=(1,)),
    Scenario("provider.trace", ANSWER_LOST),
    Scenario("store.note", ANSWER_LOST, sizes=(1,)),
    Scenario("store.apply", ANSWER_LOST),
    Scenario("queue.release", ANSWER_LOST, sizes=(1,)),  # the job that asks for the search is done
    Scenario("queue.release", ANSWER_LOST, skip=1, sizes=(1,)),  # the search is done
    Scenario("store.resend", NEVER_ARRIVED),
    Scenario("store.apply", NEVER_KNOWN),
    Scenario("store.apply", OPEN, skip=1),  # a receipt is applied
    Scenario("store.file", OPEN),  # and kept
    Scenario("store.expire", TOO_LATE),
    Scenario("store.fire", SCHEDULED),
    Scenario("store.settle", PROBED_IN_LINE, sizes=(1,)),  # the account halts
    Scenario("provider.probe", PROBED, sizes=(1,)),
    Scenario("queue.permit", PROBED, sizes=(1,)),
    Scenario("provider.probe", PROBED_IN_LINE, sizes=(1,)),
    Scenario("store.steer", PROBED, sizes=(1,)),  # the halt is lifted
    Scenario("queue.release", PROBED_IN_LINE, sizes=(1,)),  # the probe is done
    Scenario("store.half_open", TRIED_BY_ONE_SEND, sizes=(1,)),
    Scenario("store.settle", TRIED_BY_ONE_SEND, skip=1, sizes=(1,)),  # the send that tries was accepted
    *(
        Scenario(step, HANDED_OVER, sizes=(1, PER_INTENT))
        for step in ("queue.claim", "store.begin", "store.note", "provider.hand_over")
    ),
    Scenario("store.settle", HANDED_OVER, sizes=(1, PER_INTENT)),
    *(Scenario(step, STEERED, sizes=(1,)) for step in ("store.take_up", "provider.steer", "provider.standing")),
    Scenario("store.heard", STEERED, sizes=(1,)),  # the answer to the verb
    Scenario("store.heard", STEERED, skip=1, sizes=(1,)),  # what the provider shows
    Scenario("store.conclude", STEERED, sizes=(1, PER_INTENT)),
    Scenario("queue.release", STEERED, sizes=(1,)),  # the verb was asked for
    Scenario("queue.release", STEERED, skip=1, sizes=(1,)),  # the look is done
    Scenario("store.unowned", SWEPT_UP, sizes=(1,)),
    Scenario("store.restore", SWEPT_UP, sizes=(1000,)),
    Scenario("store.carry", CARRIED),
    Scenario("contract.enqueue", CARRIED),
    Scenario("store.relay", CARRIED),  # the other account's intent is written
    Scenario("store.relay", CARRIED, skip=1, sizes=(1,)),  # there is news of it
    Scenario("store.handback", HANDED_BACK, sizes=(2,)),
    Scenario("store.relay", HANDED_BACK, skip=1, sizes=(2,)),
]


@dataclass(frozen=True)
class Case:
    """A scenario on one side of its step, for one size of the batch."""

    number: int
    scenario: Scenario
    side: str
    size: int

    @property
    def account(self) -> str:
        return f"case-{self.number}"

    @property
    def accounts(self) -> list[str]:
        return [self.account, *self.spares]

    @property
    def spares(self) -> list[str]:
        return [f"spare-{self.number}"] if self.scenario.road.spare else []

    @property
    def to(self) -> list[str]:
        return [f"+24399{self.number:03}{place:04}" for place in range(self.size)]

    @property
    def settings(self) -> Settings:
        return HASTY | {"provider": self.scenario.road.provider} | self.scenario.road.account

    @property
    def sends(self) -> Iterator[Send]:
        road = self.scenario.road
        more = (
            road.send
            | {"failover": self.spares}
            | ({"schedule": At(times=datetime.now(UTC) + timedelta(seconds=1))} if road.scheduled else {})
        )
        if road.kept:
            tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(second=0, microsecond=0)
            more = {"schedule": At(times=tomorrow), "custody": "provider"}
        for to in _batched(self.to, PER_INTENT):
            yield Send(account=self.account, to=list(to), message=f"text {self.number}", on_unknown="hold", **more)

    @property
    def _written_down_but_never_called(self) -> bool:
        if self.scenario.step == "store.note" and self.scenario.road.kept:
            return True
        return (self.scenario.step, self.side) in {
            ("store.begin", "after"),
            ("provider.send", "before"),
            ("provider.hand_over", "before"),
        }

    @property
    def end(self) -> str:
        """The state in which every recipient must end.

        A call that was written down and never left can be told from one that was made only in books. A provider that keeps none
        leaves it `unknown`, which is the intents' own wish here.
        """
        if self._written_down_but_never_called and self.scenario.road.provider == "lisoloo":
            return "unknown"
        return self.scenario.road.end

    @property
    def copies(self) -> int:
        """How often the provider must have taken the text for each of the numbers."""
        return 0 if self.end == "unknown" and self._written_down_but_never_called else self.scenario.road.copies

    def __str__(self) -> str:
        skipped = f"-{self.scenario.skip + 1}" if self.scenario.skip else ""
        road = self.scenario.road
        return f"{self.side}-{self.scenario.step}{skipped}-{road.fault.get('kind', road.end)}-{road.provider}-{self.size}"


def _batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


_PARTS = [(scenario, side, size) for scenario in SCENARIOS for side in SIDES for size in scenario.sizes]
CASES = [Case(number, *parts) for number, parts in enumerate(_PARTS)]


def test_every_durable_step_of_a_worker_has_a_scenario_or_a_reason_for_having_none() -> None:
    killed_at = {scenario.step for scenario in SCENARIOS}
    assert killed_at.isdisjoint(NO_SCENARIO)
    assert killed_at | NO_SCENARIO.keys() == mortal.steps()


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
    """Let a worker of every case die, then let a healthy one finish all roads."""
    configure(house.redis, *(account for case in CASES for account in case.accounts), keeps=TERMS.published)
    for case in CASES:
        if case.scenario.road.provider == "lineserve":
            for account in case.accounts:
                keep_books(house, account)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        deaths = list(pool.map(lambda case: dies(house, case), CASES))
    # A receipt that is still on its way when nobody waits for it any longer corrects an end. That is another story.
    house.sandbox.until(lambda books: books["webhooks"]["pending"] == 0)
    house.worker(TUMA_SWEEP_EVERY="1")
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


EARLIER = "An earlier campaign"


def keep_books(house: House, account: str) -> None:
    """Let there be an earlier campaign: only books that reach back to before a call prove that it never arrived."""
    body = {"recipients": ["+254790000001", "+254790000002"], "message": EARLIER}
    headers = {"Authorization": f"Bearer {key_of(account)}"}
    httpx.post(f"{house.sandbox.url}/lineserve/v1/sms/bulk", json=body, headers=headers).raise_for_status()


def dies(house: House, case: Case) -> tuple[list[str], int | None]:
    """Send what the case sends and start the worker that dies of it. Returns the intents and how it ended; None where it lives."""
    if case.scenario.road.fault:
        house.sandbox.arm(**case.scenario.road.fault, to=case.to[:1])
    intent_ids = [receipt.id for receipt in house.producer.enqueue_many(case.sends)]
    if case.scenario.road.jobs_lost:
        house.redis.delete(AccountKeys(case.account).queue("send").entries)
    accounts = json.loads(house.tuma.environment["TUMA_ACCOUNTS"])
    own = {"TUMA_ACCOUNTS": json.dumps({name: accounts[name] for name in case.accounts}), "TUMA_SWEEP_EVERY": "1"}
    fate = {"MORTAL_STEP": case.scenario.step, "MORTAL_SIDE": case.side, "MORTAL_SKIP": str(case.scenario.skip)}
    arguments = ("tests.support.mortal:setup", "--skip-logging", "--processes", "1")
    victim = house.tuma.start_module("dramatiq", *arguments, **own, **fate)
    try:
        if case.scenario.road.cancelled:
            cancel(house, intent_ids)
        return intent_ids, victim.ended()
    except subprocess.TimeoutExpired:
        return intent_ids, None
    finally:
        victim.kill()


def cancel(house: House, intent_ids: Sequence[str]) -> None:
    """Ask for a cancel of these, once the provider has them, or nobody can tell whether it has."""
    for intent_id in intent_ids:
        events = (event for event in house.account_events(intent_id.rpartition(".")[0]) if event.intent == intent_id)
        assert next((event for event in events if event.type in KNOWN), None), house.last_words()
        house.producer.cancel(intent_id)


KNOWN = {"tuma.intent.custody-handed-over", "tuma.intent.custody-unknown-at-provider"}


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
