"""All of Tuma in bad weather: providers that fail in every way they can, workers that are killed, a Redis that dies and comes back.

One loop does everything, in an order that its seed decides: traffic, faults, deaths, and the operator, who pays bills and resumes
accounts. What it does is a scenario's affair (`scenarios`); the whole weather is one of them. Then the weather clears, all that was
accepted must come to its end, and three witnesses are compared: what `enqueue` accepted, what Tuma says became of it, and the
sandbox's ledger, which knows nothing of Tuma.
"""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from tests.support.houses import House, key_of, open_house

from tuma_producer import Send, StoreUnavailable
from tuma_producer.contract.keys import AccountKeys
from tuma_worker.store.accounts import standing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.scenarios import Scenario
    from tests.chaos.stores import Store
    from tests.support.houses import Settings
    from tests.support.programs import Running

# An account that is halted tries to go on by itself within a second; what only a person may resume is the operator's.
_PATIENT: Settings = {"lease": 3, "resolve_after": 3, "timeout": 3, "probe_every": 1, "cool_down": 1}
ACCOUNTS: dict[str, Settings] = {
    "lisoloo": {"provider": "lisoloo", "limits": ["15 calls/1s"], **_PATIENT},
    # In production, since test mode costs nothing and so never lacks money.
    "lineserve": {
        "provider": "lineserve",
        "environment": "production",
        "limits": ["25 calls/1s", "5000 messages/10s"],
        **_PATIENT,
    },
}
SANDBOX: Settings = {
    "lisoloo": {"limits": {"send": [{"count": 15, "seconds": 1}]}, "suspension": 3},
    # It says for how long it refuses: without that a refusal keeps an account still for a minute, which is a storm of one.
    "lineserve": {
        "limits": {"requests": [{"count": 25, "seconds": 1}], "sms": [{"count": 5000, "seconds": 10}]},
        "retry_after": True,
    },
}
WORKERS = 3
SWEEP_EVERY = "5"  # seconds
CAMPAIGN = (20, 100)  # recipients: each costs three receipts, and those of twenty minutes must not pile up on a busy machine
BAD_NUMBER = "+243990999909"  # the sandbox refuses it

FAULTS: tuple[Settings, ...] = (
    {"kind": "accept_then_hang", "seconds": 5},
    {"kind": "accept_then_hang", "seconds": 5, "receipts": "none"},
    {"kind": "accept_then_reset"},
    {"kind": "accept_then_reset", "receipts": "none"},
    {"kind": "reset_before_reading"},
    {"kind": "reset_after_reading"},
    {"kind": "accept_then_500"},
    {"kind": "refuse_503"},
    {"kind": "html_200"},
    {"kind": "wrong_json"},
    {"kind": "wrong_counts"},
    {"kind": "slow_bytes", "seconds": 60},  # a byte or a few a second
    {"kind": "receipts_before_answer", "seconds": 2},
    {"kind": "duplicate_receipts"},
    {"kind": "reordered_receipts"},
    {"kind": "late_receipts", "seconds": 4},
    {"kind": "no_receipts"},
)
# A refusal makes all workers wait and one call try, so that a storm lasts for about as many seconds as calls are refused.
REFUSALS = (2, 6)
# Whoever waits meets no fault. Ordered on and on meanwhile, they would be all that it meets for the rest of the day.
MOST_AHEAD = 3
TROUBLES: dict[str, Settings] = {"no money": {"balance": 0}, "suspended key": {"state": "suspended"}}

PATIENCE = 330.0  # seconds; a breaker is open for five minutes at the most

ON_THE_WAY = {"accepted", "queued", "sending"}
TAKEN = {"submitted", "sent", "delivered"}  # the provider has it; the sandbox's dice know no bad end
NEVER_TAKEN = {"rejected", "expired"}


class Storm:
    """The loop's hands. All that it does is counted."""

    def __init__(self, house: House, store: Store, seed: int, former: Path | None = None) -> None:
        self.house = house
        self.former = former  # where another release's code is
        self.dice = random.Random(seed)  # noqa: S311 - so that a seed shows the same weather again
        self.store = store
        self.accepted: dict[str, tuple[str, list[str], str]] = {}
        self.did: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._trouble_over = 0.0
        self._made = itertools.count()
        self._unsure: list[tuple[Send, tuple[str, list[str], str]]] = []
        self._versions = itertools.cycle((former, None))
        self._workers = [self._start(former) for _ in range(WORKERS)]

    def _start(self, code: Path | None = None) -> Running:
        """A worker of our code, or of that which lies in a folder."""
        there = {"PYTHONPATH": f"{code}/producer/src:{code}/worker/src"} if code else {}
        return self.house.start("worker", "--threads", "4", TUMA_SWEEP_EVERY=SWEEP_EVERY, **there)

    # ------------------------------------------------------------------------------------------------------------- traffic

    def send(self) -> None:
        """A single, a one-time password or a campaign, to numbers and with a text that nobody else has."""
        place, account = next(self._made), self.dice.choice(sorted(ACCOUNTS))
        kind = self.dice.choices(("single", "otp", "campaign"), (6, 3, 1))[0]
        count = self.dice.randint(*CAMPAIGN) if kind == "campaign" else 1
        to = [f"+24397{place % 1000:03}{n:04}" for n in range(count)]
        if kind == "campaign" and self.dice.random() < 0.5:
            to[count // 2] = BAD_NUMBER
        more: dict[str, Settings] = {
            "single": {},
            "otp": {"priority": "otp", "expires_in": self.dice.uniform(1, 15)},
            "campaign": {"priority": "bulk"},
        }
        message = f"{kind} {place}"
        send = Send(account=account, to=to, message=message, on_unknown="hold", idempotency_key=message, **more[kind])
        self._unsure.append((send, (message, to, account)))
        self.counts[kind] += 1
        self.hand_in()

    def hand_in(self) -> bool:
        """Enqueue what was not accepted yet, each with its key until it is; False where Redis does not take it now."""
        while self._unsure:
            send, told = self._unsure[0]
            try:
                self.accepted[self.house.producer.enqueue(send).id] = told
            except StoreUnavailable:
                self.counts["refused_by_redis"] += 1
                return False
            self._unsure.pop(0)
        return True

    # ------------------------------------------------------------------------------------------------------------- weather

    def strike(self) -> None:
        """Order a bad day for one or a few of the next calls."""
        self._arm(self.dice.choice(FAULTS), self.dice.randint(1, 2))

    def crowd(self) -> None:
        """Let somebody else have used up the limit: the next few calls are refused with 429."""
        self._arm({"kind": "rate_limit", "retry_after": 1}, self.dice.randint(*REFUSALS))

    def _arm(self, fault: Settings, count: int) -> None:
        provider = self.dice.choice(sorted(ACCOUNTS))
        ahead = sum(armed["count"] for armed in self.house.sandbox.armed() if armed["provider"] == provider)
        if ahead < MOST_AHEAD:
            self.house.sandbox.arm(**fault, count=count, provider=provider)
            self.did[_name(fault)] += count

    def trouble(self) -> None:
        """Leave an account without money, or its key suspended, for a while."""
        name, account = self.dice.choice(sorted(TROUBLES)), self.dice.choice(sorted(ACCOUNTS))
        self.house.sandbox.configure(**{account: {"keys": {key_of(account): TROUBLES[name]}}})
        self._trouble_over = time.monotonic() + self.dice.uniform(1, 3)
        self.did[name] += 1

    def kill_a_worker(self) -> None:
        """Kill one that has come to work, whatever it is doing, and start another."""
        place = self.dice.randrange(WORKERS)
        if not any("ready for action" in line for line in self._workers[place].said):
            return
        self._workers[place].kill()
        self._workers[place] = self._start()
        self.counts["kills"] += 1

    def roll(self) -> None:
        """Replace one that has come to work by one of the other release: told to end, it ends its calls while the other begins."""
        place = self.dice.randrange(WORKERS)
        if not any("ready for action" in line for line in self._workers[place].said):
            return
        self._workers[place].process.send_signal(signal.SIGTERM)
        code = next(self._versions)
        self._workers[place] = self._start(code)
        self.counts["replaced_by_former" if code else "replaced_by_ours"] += 1

    def supervise(self) -> None:
        """Start another for each that has ended by itself, as Kubernetes does."""
        for place, worker in enumerate(self._workers):
            if worker.process.poll() is not None:
                self._workers[place] = self._start()
                self.counts["ended_by_themselves"] += 1

    def hurt_redis(self) -> None:
        """Do the server the harm that is its own."""
        self.store.hurt(self.dice)
        self.counts["harms"] += 1

    def operate(self) -> None:
        """What an operator does: makes room, pays the bill once the trouble is over, and resumes what only a person may."""
        self.store.heal()
        with suppress(RedisError):  # it is away or full: he comes again
            self._resume()

    def _resume(self) -> None:
        if self._trouble_over and time.monotonic() > self._trouble_over:
            self._trouble_over = 0.0
            for account in ACCOUNTS:
                self.house.sandbox.configure(**{account: {"keys": {key_of(account): {"state": "active", "balance": 1e9}}}})
        if not self._trouble_over:
            for account in ACCOUNTS:
                if standing(self.house.redis, account).operator:
                    self.counts["resumes"] += self.house.tuma("accounts", "resume", account).status == 0

    def clear(self) -> None:
        """Nothing bad happens any more. What was ordered and met no call did not happen."""
        for fault in self.house.sandbox.armed():
            self.did[_name(fault)] -= fault["count"]
        self.house.sandbox.disarm()
        self.store.heal(at_once=True)
        self._trouble_over = self._trouble_over and time.monotonic()


def _name(fault: Settings) -> str:
    return f"{fault['kind']} without receipts" if fault.get("receipts") == "none" else str(fault["kind"])


@dataclass
class Diary:
    """What is to be done when: each duty with the mean of its pauses in seconds."""

    dice: random.Random
    _next: dict[str, float] = field(default_factory=dict)

    def due(self, duty: str, pause: float) -> bool:
        """Whether it is time for a duty; if so, its next time is set."""
        now = time.monotonic()
        if now < self._next.setdefault(duty, now + self.dice.uniform(0, 2 * pause)):
            return False
        self._next[duty] = now + self.dice.uniform(0, 2 * pause)
        return True


def run(scenario: Scenario, seconds: float, seed: int, *, patience: float = PATIENCE) -> dict[str, Any]:
    """Let it last for so many seconds, let it clear, and compare the witnesses. Raises `MissingError` where it cannot be had here.

    It is waited for the last end and the last receipt while there are fewer left every `patience` seconds.
    """
    with ExitStack() as stack:
        store, former = stack.enter_context(scenario.store()), stack.enter_context(scenario.former())
        house = stack.enter_context(open_house(store, ACCOUNTS, config=SANDBOX))
        storm = Storm(house, store, seed, former)
        house.running[-1].until("ready for action")
        _storm(storm, scenario, seconds)
        storm.clear()
        drained = _drain(storm, patience)
        return {"scenario": scenario.name, "seed": seed, "seconds": seconds, "drained": drained, **_compare(storm)}


def _storm(storm: Storm, scenario: Scenario, seconds: float) -> None:
    """All duties of the scenario, each at its time, and what it wants once in the middle."""
    began, diary, once = time.monotonic(), Diary(storm.dice), scenario.in_the_middle
    while (passed := time.monotonic() - began) < seconds:
        for name, pause in scenario.duties.items():
            if diary.due(name, pause):
                getattr(storm, name)()
        if once and passed > seconds / 2:
            getattr(storm, once)()
            once = ""
        time.sleep(0.01)


def _drain(storm: Storm, patience: float) -> bool:
    """Wait until nothing is on its way any more and every receipt has been delivered; False where that stops getting on."""
    deadline = time.monotonic() + patience
    while not storm.hand_in() and time.monotonic() < deadline:
        storm.operate()
        time.sleep(0.1)
    open_ones, fewest = set(storm.accepted), (len(storm.accepted), 0)
    while time.monotonic() < deadline:
        storm.operate()
        storm.supervise()
        open_ones = {intent for intent in open_ones if ON_THE_WAY.intersection(storm.house.producer.get(intent).counts)}
        left = len(open_ones), storm.house.sandbox.books()["webhooks"]["pending"]
        if left == (0, 0):
            return True
        if left < fewest:
            fewest, deadline = left, time.monotonic() + patience
        time.sleep(0.5)
    return False


def _compare(storm: Storm) -> dict[str, Any]:
    intents = [storm.house.producer.get(intent_id) for intent_id in storm.accepted]
    # After the records: where all did not come to its end workers are still sending, and what we say was taken must be in here.
    books = storm.house.sandbox.books()
    copies = Counter((call["message"], number) for call in books["accepted"] for number in call["recipients"])
    states: Counter[str] = Counter()
    lost = on_their_way = contradictions = not_ended = without_receipt = 0
    for intent, (message, to, _) in zip(intents, storm.accepted.values(), strict=True):
        states.update(intent.counts)
        told = {one.number: one.state for one in intent.recipients}
        lost += sum(number not in told for number in to)
        on_their_way += sum(told.get(number) in ON_THE_WAY for number in to)
        lost += sum(told.get(number) in TAKEN and not copies[message, number] for number in to)
        contradictions += sum(told.get(number) in NEVER_TAKEN and copies[message, number] > 0 for number in to)
        if intent.state != "done":
            waits_for_receipts = set(intent.counts) <= {*TAKEN, *NEVER_TAKEN, "unknown", "failed"}
            without_receipt += waits_for_receipts
            not_ended += not waits_for_receipts
    accepted = sum(len(to) for _, to, _ in storm.accepted.values())
    return {
        "intents": len(storm.accepted),
        "recipients": accepted,
        "states": dict(states),
        "lost": lost,
        "on_their_way": on_their_way,
        "duplicates": sum(times - 1 for times in copies.values() if times > 1),
        "contradictions": contradictions,
        "states_missing": accepted - states.total(),
        "limit_violations": books["violations"],
        "intents_not_ended": not_ended,
        "intents_whose_receipts_never_came": without_receipt,
        "gaps_in_events": _gaps(storm.house),
        "stranded": _stranded(storm.house),
        "ledger": {name: books[name] for name in ("calls", "recipients", "rate_limited")},
        "weather": dict(+storm.did),
        "halts": sum(map(storm.house.halts, ACCOUNTS)),
        **{name: storm.counts[name] for name in COUNTS},
    }


def _gaps(house: House) -> int:
    """How many of the intents' events are missing or doubled, by the numbers that they carry."""
    gaps = 0
    for account in ACCOUNTS:
        seen: dict[bytes, list[int]] = {}
        stream: Any = house.redis.xrange(AccountKeys(account).events)
        for _, fields in stream:
            if b"q" in fields:
                seen.setdefault(fields[b"i"], []).append(int(fields[b"q"]))
        gaps += sum(numbers != list(range(1, len(numbers) + 1)) for numbers in seen.values())
    return gaps


def _stranded(house: House) -> int:
    """How often a worker said that recipients had lost their jobs: the sweeper is a net that nothing should fall into."""
    return sum("delivery.stranded" in line for one in house.running for line in one.said)


COUNTS = (
    "single",
    "otp",
    "campaign",
    "kills",
    "harms",
    "replaced_by_former",
    "replaced_by_ours",
    "ended_by_themselves",
    "refused_by_redis",
    "resumes",
)
PROMISES = (
    "lost",
    "on_their_way",
    "duplicates",
    "contradictions",
    "states_missing",
    "limit_violations",
    "intents_not_ended",
    "gaps_in_events",
    "stranded",
)


def broken(found: dict[str, Any]) -> dict[str, Any]:
    """The promises that were not kept, and by how much."""
    return {name: found[name] for name in PROMISES if found[name]} | ({} if found["drained"] else {"drained": False})
