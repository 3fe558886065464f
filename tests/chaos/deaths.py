"""The deaths in `test_kill_anywhere`: at which step and call site, on which road, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tuma_producer import At, Send
from tuma_producer.contract.custody import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.houses import Settings

SIDES = ("before", "after")
PER_INTENT = 100  # recipients of an intent: a batch of a thousand carries ten of them
ONE, MANY = (1,), (1000,)

TERMS = Terms(tz="Africa/Kinshasa", lead=120_000, dates=20, dispatches=1000, recipients=1000)

# Leases and patience are short, but a worker on a busy machine must not lose its lease by being slow.
HASTY: Settings = {"lease": 3, "resolve_after": 1, "timeout": 10}

# ------------------------------------------------------------------------------------------------------------ where nobody dies

LED = "whoever leads and dies is followed, and leading changes nothing; tested with each duty"
POLLED = "whoever dies over a question leads for two minutes more, and then it is asked again; tested with polling"
PUT_OFF = "a job is put off: its lease lapses, and whoever takes it again puts it off again"
APPLIED_ALONE = "as by `apply`, which this is for a single receipt"
APPLIED = "the receipt stays in the inbox until it is filed, and a repeat is known: tested with the inbox and with custody"
REGROUPED = "after a stream was lost: the next read makes the group, or finds it made; tested with pushing"
AT_THE_OTHER = "a verb that may be repeated, and the next look at the plan sees whether it holds: tested with failover's steps"

NO_WORKERS = {
    "contract.schedule": "a producer's",
    "contract.ask": "a producer's, who got no answer and asks again",
    "contract.reschedule": "as ask",
    "contract.edit": "as ask",
    "contract.hold_campaign": "as ask; dying between the steps of a campaign's verb is tested with campaigns",
    "contract.page_campaign": "only looks",
    "contract.suppress": "a producer's or an operator's, who asks again and finds the numbers there",
    "contract.unsuppress": "as suppress",
    "store.set_tokens": "an operator's, who asks again; all of a change is there, or nothing",
    "store.set_budget": "as set_tokens",
    "store.subscribe": "an operator's, who asks again; a subscription and its place are there together or not at all",
    "store.unsubscribe": "as subscribe",
    "store.rights": "only looks",
    "store.hide": "as forget",
    "store.forget": "an operator's, who asks again and finds the rest: tested with forgetting",
    "store.note_forgetting": "as forget",
    "store.forget_bad": "an operator's, who asks again and finds none",
    "store.forget_group": "as forget_bad",
    "store.arrive": "the gateway's; a provider that gets no answer tells it again",
    "store.plan": "an operator's command: see test_kill_an_operator",
    "store.leave": "an operator's command: see test_kill_an_operator",
}

NOT_KILLED = {
    ("contract.hand_over", "dispatch.carrying._write"): "what is carried has no dates at a provider; else as enqueue",
    ("contract.resume", "dispatch.carrying._write"): AT_THE_OTHER,
    ("contract.withdraw", "dispatch.carrying._write"): AT_THE_OTHER,
    ("contract.resume", "dispatch.carrying.follow"): AT_THE_OTHER,
    ("contract.withdraw", "dispatch.carrying.follow"): AT_THE_OTHER,
    ("store.apply", "dispatch.carrying.follow"): AT_THE_OTHER,
    ("store.relay", "dispatch.carrying.follow"): "the plan is over, and the next look finds that again",
    ("queue.push", "dispatch.sweeping.Sweeper._sweep"): "as store.restore, for a verb: see test_custody_deaths",
    ("queue.push", "queue.broker.TumaBroker.enqueue"): "for messages of others' actors, which are no sends",
    ("queue.permit", "dispatch.errands.Errands._permit"): POLLED,
    ("queue.release", "dispatch.errands.Errands._under_permit"): POLLED,
    ("store.apply", "dispatch.polling.Poller._learn"): POLLED,
    ("store.note", "dispatch.polling.Poller.run_once"): POLLED,
    ("queue.release", "dispatch.custody.Steerer._again"): PUT_OFF,
    ("queue.release", "dispatch.custody.Steerer._put_off"): PUT_OFF,
    ("queue.release", "dispatch.probing.Prober._ask"): PUT_OFF,
    ("queue.release", "dispatch.resolving.Resolver.resolve"): PUT_OFF,
    ("store.note", "dispatch.resolving.Resolver.resolve"): "says how long is waited for a receipt; then the job is put off",
    ("store.steer", "dispatch.probing.Prober._ask#2"): "as where the probe lifts the halt, of one that gets graver",
    (
        "store.settle",
        "dispatch.sending.Sender._settle#2",
    ): "the lease had lapsed before: whoever has the job by then resolves it",
    ("store.resend", "dispatch.sending.Sender._disown"): "as `settle` of who was late: a begun call that its worker disowns",
    (
        "store.conclude",
        "dispatch.custody.Steerer._without_calls",
    ): "as `_conclude`: the job is there until it is done",
    ("store.conclude", "dispatch.custody.Steerer.abandon"): "comes after three deaths, and the job is there until it is done",
    ("store.apply", "dispatch.sweeping.Sweeper._sweep#2"): "as of those of whom no receipt told, of calls that nobody remembers",
    ("store.forget_campaign", "dispatch.sweeping.Sweeper._sweep"): "comes a retention later; the next look does what is left",
    ("store.age", "dispatch.sweeping.Sweeper._sweep"): "the next look does what is left, and a repeat changes nothing",
    ("store.file", "receipts.applying._apply_alone"): APPLIED_ALONE,
    ("store.park", "receipts.applying._apply_alone"): APPLIED_ALONE,
    ("store.park", "receipts.applying.apply"): APPLIED,
    ("store.receive", "receipts.applying._receive"): APPLIED,
    ("store.tally", "receipts.applying._together"): APPLIED,
    (
        "store.amend",
        "events.pushing.Pusher._disable",
    ): "the next one that pushes disables the subscriber as well: see test_pushing_retries",
    ("store.regroup", "events.lane.Lane.read"): REGROUPED,
    ("store.regroup", "events.lane.Lane._find_again"): REGROUPED,
    ("store.warn", "events.upkeep.Upkeep._warned"): "says something, once; who comes after looks again",
    ("store.reckon", "dispatch.reckoning.Reckoner.run_once"): "a reading of the balance: who follows reads it anew",
    ("store.lead", "dispatch.carrying.Mover._look_after"): LED,
    ("store.lead", "dispatch.polling.Poller._lead"): LED,
    ("store.lead", "dispatch.reckoning.Reckoner.run_once"): LED,
    ("store.lead", "dispatch.sweeping.Sweeper._sweep"): LED,
    ("store.lead", "events.pushing.Pusher._hand_over"): LED,
    ("store.lead", "events.pushing.Pusher.take_turn"): LED,
    ("store.lead", "events.upkeep.Upkeep._look"): LED,
    ("store.lead", "receipts.applying.Applier._lead"): LED,
    ("store.lead", "receipts.applying.Applier.leave"): "whoever dies before it has left is followed, as is whoever leads",
}

# ----------------------------------------------------------------------------------------------------------------------- roads


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

    @property
    def swept(self) -> bool:
        """Whether only a sweeper gets its recipients further."""
        return self.jobs_lost or "receipts_for" in self.account


OPEN = Road("lisoloo")
OPEN_WITH_BOOKS = Road("lineserve")
ONE_BY_ONE = Road("lineserve", account={"batch_max": 1})  # more calls than a worker has threads
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
SCHEDULE_LOST = Road("lineserve", scheduled=True, jobs_lost=True)
TOLD_BY_RECEIPT = Road("lisoloo", {"kind": "accept_then_reset"}, account={"resolve_after": 30})
NEVER_HEARD_OF = Road("lisoloo", {"kind": "no_receipts"}, account={"receipts_for": 1}, end="unknown")
HUSHED = Road(
    "lisoloo",
    account={"quiet": {"hours": "00:00-23:59", "priorities": ["transactional"], "action": "expire"}},
    end="expired",
    copies=0,
)
TOO_HEAVY = Road("lineserve", send={"message": "x" * 200}, account={"limits": ["1 messages/1s"]}, end="rejected", copies=0)


# ---------------------------------------------------------------------------------------------------------------------- deaths


@dataclass(frozen=True)
class Scenario:
    """A step and its call site, the road that leads by it, how often it is passed before, and how many recipients the call has."""

    step: str
    site: str
    road: Road
    skip: int = 0
    sizes: tuple[int, ...] = (*ONE, *MANY)


OF_EVERY_SEND = {
    "queue.claim": "queue.consumer.Consumer._claim",
    "store.begin": "dispatch.sending.Sender._begin",
    "provider.send": "dispatch.sending.Sender._call",
    "store.settle": "dispatch.sending.Sender._settle",
}
OF_EVERY_HAND_OVER = OF_EVERY_SEND | {
    "store.note": "dispatch.custody.Keeper.hand_over",
    "provider.hand_over": "dispatch.custody.Keeper.hand_over",
}
del OF_EVERY_HAND_OVER["provider.send"]
SCENARIOS = [
    *(Scenario(*step, OPEN, sizes=ONE) for step in OF_EVERY_SEND.items()),
    *(Scenario(*step, OPEN_WITH_BOOKS) for step in OF_EVERY_SEND.items()),
    Scenario("queue.claim", "queue.consumer.Consumer._settle_and_claim", ONE_BY_ONE, sizes=(20,)),
    Scenario("queue.renew", "queue.leases.Leases._renew", SLOW, sizes=MANY),
    Scenario("queue.push", "dispatch.resolving.Resolver._ask", ANSWER_LOST, sizes=ONE),
    Scenario("queue.release", "queue.consumer.Consumer._release", ANSWER_LOST, sizes=ONE),  # of the job that asks for the search
    Scenario("provider.trace", "dispatch.resolving.Resolver.trace", ANSWER_LOST),
    Scenario("store.note", "dispatch.resolving.Resolver._follow", ANSWER_LOST, sizes=ONE),
    Scenario("store.apply", "dispatch.resolving.Resolver._adopt", ANSWER_LOST),
    Scenario("queue.release", "dispatch.resolving.Resolver.trace", ANSWER_LOST, sizes=ONE),
    Scenario("store.resend", "dispatch.resolving._resend", NEVER_ARRIVED),
    Scenario("store.note", "dispatch.resolving.Resolver.resolve#2", NEVER_KNOWN, sizes=ONE),
    Scenario("store.apply", "dispatch.resolving.Resolver._believe", NEVER_KNOWN),
    Scenario("store.apply", "receipts.applying._adopt", TOLD_BY_RECEIPT, sizes=ONE),
    Scenario("store.apply", "receipts.applying._apply", OPEN, skip=1),
    Scenario("store.file", "receipts.applying.apply", OPEN),
    Scenario("store.apply", "dispatch.sweeping.Sweeper._sweep", NEVER_HEARD_OF, sizes=ONE),
    Scenario("store.expire", "dispatch.sending.Sender.expire", TOO_LATE),
    Scenario("store.apply", "dispatch.sending.Sender._end", HUSHED, sizes=ONE),
    Scenario("store.apply", "dispatch.sending.Sender._end", TOO_HEAVY, sizes=ONE),
    Scenario("store.fire", "dispatch.firing.fire", SCHEDULED),
    Scenario("store.fire", "dispatch.sweeping.Sweeper._sweep", SCHEDULE_LOST, sizes=ONE),
    Scenario("store.settle", "dispatch.sending.Sender._settle", PROBED_IN_LINE, sizes=ONE),  # the account halts
    Scenario("queue.permit", "dispatch.probing.Prober._ask", PROBED, sizes=ONE),
    Scenario("provider.probe", "dispatch.probing.Prober._ask", PROBED, sizes=ONE),
    Scenario("provider.probe", "dispatch.probing.Prober._ask", PROBED_IN_LINE, sizes=ONE),
    Scenario("queue.release", "dispatch.probing.Prober._ask#2", PROBED, sizes=ONE),  # of the permit
    Scenario("store.steer", "dispatch.probing.Prober._ask", PROBED, sizes=ONE),  # the halt is lifted
    Scenario("queue.release", "dispatch.probing.Prober._ask#3", PROBED_IN_LINE, sizes=ONE),  # of the job
    Scenario("store.half_open", "dispatch.probing.Prober.probe", TRIED_BY_ONE_SEND, sizes=ONE),
    Scenario("store.settle", "dispatch.sending.Sender._settle", TRIED_BY_ONE_SEND, skip=1, sizes=ONE),  # the one was accepted
    *(Scenario(*step, HANDED_OVER, sizes=(1, PER_INTENT)) for step in OF_EVERY_HAND_OVER.items()),
    Scenario("store.take_up", "dispatch.custody.Steerer.steer", STEERED, sizes=ONE),
    Scenario("provider.steer", "dispatch.custody.Steerer.steer", STEERED, sizes=ONE),
    Scenario("store.heard", "dispatch.custody.Steerer.steer", STEERED, sizes=ONE),
    Scenario("queue.release", "dispatch.custody.Steerer._done", STEERED, sizes=ONE),  # the verb was asked for
    Scenario("provider.standing", "dispatch.custody.Steerer.look", STEERED, sizes=ONE),
    Scenario("store.heard", "dispatch.custody.Steerer.look", STEERED, sizes=ONE),
    Scenario("store.conclude", "dispatch.custody.Steerer._conclude", STEERED, sizes=(1, PER_INTENT)),
    Scenario("queue.release", "dispatch.custody.Steerer._done", STEERED, skip=1, sizes=ONE),  # the look is done
    Scenario("store.unowned", "dispatch.sweeping.Sweeper._sweep", SWEPT_UP, sizes=ONE),
    Scenario("store.restore", "dispatch.sweeping.Sweeper._sweep", SWEPT_UP, sizes=MANY),
    Scenario("store.carry", "dispatch.carrying._carry", CARRIED),
    Scenario("contract.enqueue", "dispatch.carrying._write", CARRIED),
    Scenario("store.relay", "dispatch.carrying._write", CARRIED),
    Scenario("store.relay", "dispatch.carrying.follow#2", CARRIED, sizes=ONE),  # there is news of it
    Scenario("store.handback", "dispatch.carrying._clear", HANDED_BACK, sizes=(2,)),
    Scenario("store.relay", "dispatch.carrying.follow#2", HANDED_BACK, sizes=(2,)),
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
            yield Send(**{"account": self.account, "to": list(to), "message": f"text {self.number}", "on_unknown": "hold"} | more)

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
        site = self.scenario.site.rpartition(".")[2].strip("_")
        return f"{self.side}-{self.scenario.step}-{site}{skipped}-{road.fault.get('kind', road.end)}-{road.provider}-{self.size}"


def _batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


_PARTS = [(scenario, side, size) for scenario in SCENARIOS for side in SIDES for size in scenario.sizes]
CASES = [Case(number, *parts) for number, parts in enumerate(_PARTS)]
