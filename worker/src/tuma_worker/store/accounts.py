"""The accounts as Redis knows them: what producers may name, and what stands in an account's way."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import inf
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.budgets import offsets
from tuma_producer.contract.holds import breaker
from tuma_producer.contract.keys import ACCOUNTS, account_keys
from tuma_producer.contract.reading import texts
from tuma_producer.contract.times import moment
from tuma_producer.contract.wire import LANES
from tuma_producer.quiet import Quiet
from tuma_worker.core.answers import Fault
from tuma_worker.core.failover import Carrier, CarrierTerms
from tuma_worker.core.limits import Counted
from tuma_worker.queue.scripts import PROBE, SYSTEM
from tuma_worker.store import funds
from tuma_worker.store.clock import server_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from redis import Redis

    from tuma_worker.core.next_step import Halt
    from tuma_worker.store.funds import Money


def packed(halt: Halt) -> str:
    """A halt as the queue's state holds it."""
    return json.dumps({"fault": halt.fault, "code": halt.code, "operator": halt.operator, "after": halt.after})


def probe_job(*, permit: bool) -> str:
    """The job that asks whether a halted account may go on, as the due set holds it; with `permit`, it waits for one."""
    return f"0|{PROBE if permit else SYSTEM}|probe.{int(permit)}.1.-|account"


STOPPING_FIELDS = ("halt", "breaker")  # fields of a queue's state: with either the account does not work
REGISTER_EVERY = 30.0  # seconds between two registrations by a worker
ATTENDED_FOR = 3 * REGISTER_EVERY + 10.0  # seconds after the last one for which a worker is taken to be there
_ANY = CarrierTerms()
_HELD_BY = 7  # which word of a held batch says by whom: see held.lua


@dataclass(frozen=True, slots=True)
class Halted:
    """A halt that stands. `written` is how it is written down, and since when: that tells it from another one, of any fault."""

    fault: Fault
    code: str
    operator: bool
    written: tuple[str, str]


def halted(redis: Redis, account: str) -> Halted | None:
    """The halt that stands in the way of an account's sends; None where there is none."""
    raw = cast("list[bytes | None]", redis.hmget(account_keys(account).queue("send").state, ["halt", "halted_at"]))
    written, since = (value.decode() if value else "" for value in raw)
    if not written:
        return None
    halt = json.loads(written)
    return Halted(Fault(halt["fault"]), halt["code"], halt["operator"], (written, since))


def register(
    redis: Redis,
    account: str,
    *,
    provider: str,
    environment: str,
    queue: str,
    others: Mapping[str, str] | None = None,
    terms: CarrierTerms = _ANY,
    keeps: str = "",
    templates: Mapping[str, str] | None = None,
    provider_templates: Mapping[str, str] | None = None,
    price: str = "",
    zone: str = "UTC",
    by_worker: bool = False,
) -> None:
    """Make the account known to producers, and on what `terms` it carries for others.

    Every process that is configured with it does so at its start, a worker again and again: `by_worker` notes that one is there.
    `queue` is the configuration of its sends' queue as JSON, for those who look at it from outside, `others` those of its other
    queues by their operations; `keeps` the terms by which its provider keeps dates, empty where it keeps none;
    `templates` the texts that sends may ask for, by name, and `provider_templates` the provider's ids of some of them;
    `price` what a message costs, as amount and currency, where that is set; `zone` the one in whose days and months its sources
    have budgets.
    """
    now = server_ms(redis)
    told: dict[Any, Any] = {"provider": provider, "environment": environment, "queue": queue, "keeps": keeps}
    told["queues"] = json.dumps({operation: json.loads(configured) for operation, configured in (others or {}).items()})
    told |= {"templates": json.dumps(templates or {}), "provider_templates": json.dumps(provider_templates or {}), "price": price}
    told["offsets"] = offsets(zone, moment(now))
    profile = told | {"terms": json.dumps(asdict(terms))}
    if by_worker:
        profile["attended"] = now
    redis.hset(account_keys(account).profile, mapping=profile)
    redis.sadd(ACCOUNTS, account)


def carrier(redis: Redis, account: str, *, lane: int, source: str) -> Carrier | None:
    """The account as one that may carry this source's sends of this lane; None where none of its workers has said on what terms."""
    keys = account_keys(account)
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.hgetall(keys.profile)
    pipeline.hgetall(keys.queue("send").state)
    profile, state = map(texts, pipeline.execute())
    if "terms" not in profile:
        return None
    short = {"short"} if LANES[lane] == "bulk" else set()
    stopped = not state.keys().isdisjoint({*STOPPING_FIELDS, "paused", f"paused:lane:{lane}", f"paused:source:{source}", *short})
    attended = server_ms(redis) - int(profile.get("attended", 0)) <= ATTENDED_FOR * 1000
    queue = json.loads(profile["queue"])
    return Carrier(
        account,
        profile["environment"],
        works=attended and not stopped,
        terms=_terms(json.loads(profile["terms"])),
        most_segments=_most_segments(queue, state),
        quiet=Quiet.from_json(queue["quiet"]) if "quiet" in queue else None,
    )


def _most_segments(queue: Mapping[str, Any], state: Mapping[str, str]) -> float:
    """Of how many segments a text may be, by the limits as operators have steered them."""
    if not queue.get("segments"):
        return inf
    messages = [limit for limit in queue["limits"] if limit["unit"] == Counted.MESSAGES]
    counts = [float(state.get(f"limit:{limit['name']}", str(limit["count"])).split()[0]) for limit in messages]
    return min(counts, default=inf)


def _terms(published: Mapping[str, Any]) -> CarrierTerms:
    """Terms as a worker of any version has published them."""
    known: dict[str, Any] = {name: value for name, value in published.items() if name in CarrierTerms.__dataclass_fields__}
    return CarrierTerms(**known | {name: tuple(value) for name, value in known.items() if isinstance(value, list)})


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's queue at a glance.

    `holders` names the worker of each call in flight, as `host:pid`. `halted` says why and since when (Unix milliseconds), None
    where it is not. `probe_at` is when it is probed next, or, where `operator` says that only a person may resume it, from when on
    that is advisable; None where a probe is under way. `breaker` says since when and why it is open. `funds` is the account's
    money, None where nobody watches it.
    """

    account: str
    provider: str
    waiting: int
    due_later: int
    holders: tuple[str, ...]
    halted: str | None
    halted_at: int | None
    operator: bool
    probe_at: int | None
    breaker: str | None
    funds: Money | None

    @property
    def in_flight(self) -> int:
        """How many batches workers hold."""
        return len(self.holders)


def standing(redis: Redis, account: str) -> Standing:
    """How the account stands now."""
    keys = account_keys(account)
    queue = keys.queue("send")
    pipeline = redis.pipeline(transaction=False)
    pipeline.hget(keys.profile, "provider")
    pipeline.zcard(queue.entries)
    pipeline.zcard(queue.due)
    pipeline.hgetall(queue.inflight)
    pipeline.hgetall(queue.state)
    pipeline.zrange(keys.readings, 0, -1)
    pipeline.zscore(queue.due, probe_job(permit=False))
    pipeline.zscore(queue.due, probe_job(permit=True))
    provider, waiting, due_later, inflight, raw_state, readings, *probes = pipeline.execute()
    state = texts(raw_state)
    why = json.loads(state["halt"]) if "halt" in state else None
    halted_at = int(state["halted_at"]) if why and "halted_at" in state else None
    operator = bool(why and why.get("operator"))
    return Standing(
        account=account,
        provider=provider.decode() if provider else "",
        waiting=waiting,
        due_later=due_later,
        holders=tuple(sorted(_holders(inflight))),
        halted=f"{why['fault']} ({why['code']})" if why else None,
        halted_at=halted_at,
        operator=operator,
        probe_at=_probe_at(why, halted_at, probes) if why else None,
        breaker=breaker(state),
        funds=funds.read(state, readings),
    )


def _probe_at(halt: Mapping[str, Any], halted_at: int | None, probes: Iterable[float | None]) -> int | None:
    if halt.get("operator"):
        return None if halted_at is None else halted_at + round(halt.get("after", 0) * 1000)
    return min((int(at) for at in probes if at is not None), default=None)


def _holders(inflight: Mapping[bytes, bytes]) -> Iterator[str]:
    for field, packed in inflight.items():
        if not field.endswith(b":items") and not packed.startswith(b"ended "):
            yield held_by(packed.decode())


def held_by(packed: str) -> str:
    """Which worker process holds a batch, of which this is written down."""
    return packed.split(" ")[_HELD_BY].partition("/")[0]
