"""A queue as operators look at it: who waits in which lane, how full the windows are, and what stands in the way."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.groups import most_of, segments_of
from tuma_producer.contract.holds import STOPS, holds
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import texts
from tuma_producer.contract.times import server_time
from tuma_producer.contract.wire import LANES
from tuma_worker.core.scaling import BUSY, Load, need
from tuma_worker.queue.config import SEND
from tuma_worker.queue.scripts import SYSTEM
from tuma_worker.store.clock import server_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from tuma_producer.contract.keys import QueueKeys
    from tuma_producer.results import Hold


_MINUTE = 60
_BUSY_PART = 300  # seconds for which what calls took is added up
_GROUPS_SEEN = 100  # of a source, for the average length of its texts: a campaign may have a text for each recipient


@dataclass(frozen=True, slots=True)
class Waiting:
    """One source in one lane: its ready jobs, the groups they are in, and since when the oldest (Unix ms) could have gone.

    `segments` are those of a job, on the average of the first groups, and `calls` those that all of them need, by the same.
    `hold` is the kind of the weightiest `Hold` of theirs; None where nothing does.
    """

    lane: str
    source: str
    jobs: int
    groups: int
    oldest: int
    segments: float
    calls: int
    hold: str | None

    @property
    def stopped(self) -> bool:
        """Whether they wait for somebody to lift what holds them."""
        return self.hold in STOPS


@dataclass(frozen=True, slots=True)
class Window:
    """One limit: `used` of `count` per `seconds` count now, `in_flight` of that for calls that have not ended.

    `set_by` says who changed it while running, None where nobody did.
    """

    name: str
    unit: str
    count: float
    seconds: float
    used: float
    in_flight: float
    set_by: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """A queue at one moment. `later` jobs wait for a time, `backlog_seconds` is what the allowance needs for those that are ready.

    `next_permit` is when the next call may start as far as the last claim knew (Unix ms); None where nothing holds one back.
    `useful_slots` calls in flight, over all processes, would help; `provider_bound`: the limits have no room for what waits, or
    more calls at once would help than the provider takes.
    `busy_seconds` is how long a call keeps its thread, `calls_per_second` what the limits allow; None without limits.
    """

    queue: str
    now: int
    waiting: tuple[Waiting, ...]
    later: int
    in_flight: int
    windows: tuple[Window, ...]
    holds: tuple[Hold, ...]
    next_permit: int | None
    backlog_seconds: float
    useful_slots: int
    provider_bound: bool
    busy_seconds: float
    calls_per_second: float | None


def operations(redis: Redis, account: str) -> list[str]:
    """The operations of an account that have a queue; its sends' is the first."""
    told = cast("bytes | None", redis.hget(account_keys(account).profile, "queues"))
    return [SEND, *json.loads(told or b"{}")]


def look(redis: Redis, account: str, operation: str = SEND) -> Line:
    """Look at a queue. Changes nothing."""
    keys = account_keys(account)
    queue = keys.queue(operation)
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.execute_command("TIME")  # by its name: a cluster's pipeline lacks the method
    pipeline.hgetall(queue.state)
    pipeline.hgetall(queue.used)
    pipeline.hmget(keys.profile, "queue", "queues")
    pipeline.zcard(queue.due)
    pipeline.zcard(queue.leases)
    for lane in range(len(LANES)):
        pipeline.zrange(queue.sources(lane), 0, -1)
    time, raw_state, raw_used, profile, later, in_flight, *sources = pipeline.execute()
    now = server_time(time)
    busy = _busy(redis, queue, now // 1000)
    state, used = texts(raw_state), texts(raw_used)
    config = _configured(profile, operation)
    waiting = tuple(_waiting(redis, queue, sources, state, now, batch_max=config["batch_max"]))
    windows = tuple(_window(redis, queue, limit, state=state, used=used, now=now) for limit in config["limits"])
    needed, next_permit = _needed(waiting, config), _next_permit(state, now)
    load = _load(waiting, config, windows, busy, waits=next_permit is not None)
    asked = need(load)
    return Line(
        queue=f"{account}.{operation}",
        now=now,
        waiting=waiting,
        later=later,
        in_flight=in_flight,
        windows=windows,
        holds=_holds(state, waiting, now),
        next_permit=next_permit,
        backlog_seconds=round(max((needed[one.unit] * one.seconds / one.count for one in windows), default=0.0), 1),
        useful_slots=asked.slots,
        provider_bound=asked.provider_bound,
        busy_seconds=round(busy, 3),
        calls_per_second=None if math.isinf(load.permitted) else round(load.permitted, 4),
    )


def _load(
    waiting: tuple[Waiting, ...], config: Mapping[str, Any], windows: tuple[Window, ...], busy: float, *, waits: bool
) -> Load:
    """What workers could help with: not what somebody holds, a whole lane or source of it perhaps.

    `waits` where the last claim has found that no call may start yet; while nobody claims, the windows themselves tell.
    """
    moving = tuple(one for one in waiting if not one.stopped)
    needed, reserved = _needed(moving, config), _reserved(moving, config)
    return Load(
        permitted=_calls_per_second(windows, needed, reserved),
        arriving=_arriving(windows, needed),
        backlog=needed["calls"],
        busy=busy,
        room=not waits and _has_room(windows, needed, config, reserved),
    )


def note_busy(redis: Redis, queue: QueueKeys, calls: int, seconds: float) -> None:
    """Add what one process has seen: so many calls kept threads for so many seconds in all.

    A repeat after a lost reply counts twice, in both: the mean of the others suffers little.
    """
    key = queue.busy(server_ms(redis) // 1000 // _BUSY_PART)
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.hincrby(key, "calls", calls)
    pipeline.hincrbyfloat(key, "seconds", seconds)
    pipeline.expire(key, 3 * _BUSY_PART)
    pipeline.execute()


def _busy(redis: Redis, queue: QueueKeys, now: int) -> float:
    """The mean of the last five to ten minutes."""
    pipeline: Any = redis.pipeline(transaction=False)
    for part in (now // _BUSY_PART, now // _BUSY_PART - 1):
        pipeline.hmget(queue.busy(part), "calls", "seconds")
    parts = [(int(calls or 0), float(seconds or 0)) for calls, seconds in pipeline.execute()]
    calls = sum(calls for calls, _ in parts)
    return sum(seconds for _, seconds in parts) / calls if calls else BUSY


def _configured(profile: list[bytes | None], operation: str) -> dict[str, Any]:
    """What the account's profile says of a queue. A worker of another release may have written it, and less."""
    sends, others = profile
    told = json.loads(sends or b"{}") if operation == SEND else json.loads(others or b"{}").get(operation, {})
    limits = [limit for limit in told.get("limits", []) if limit.keys() >= {"name", "unit", "count", "window"}]
    return {
        "limits": limits,
        "batch_max": told.get("batch_max", 1),
        "segments": told.get("segments", False),
        "floors": told.get("floors", []),
        "messages_per_call": told.get("messages_per_call", 1),
    }


def _waiting(
    redis: Redis, queue: QueueKeys, sources: list[list[bytes]], state: Mapping[str, str], now: int, *, batch_max: int
) -> Iterator[Waiting]:
    for lane, names in enumerate(sources):
        for name in map(bytes.decode, names):
            place = f"{lane}|{name}|"
            span = (f"[{place}".encode(), b"[" + place.encode() + b"\xff")
            pipeline = redis.pipeline(transaction=False)
            pipeline.zlexcount(queue.entries, *span)
            pipeline.zlexcount(queue.groups, *span)
            pipeline.zrangebylex(queue.groups, *span, start=0, num=_GROUPS_SEEN)
            jobs, groups, first = pipeline.execute()
            if first:
                heads = [member.decode()[len(place) :].partition("|") for member in first]
                segments = fmean(segments_of(group) for _, _, group in heads)
                calls = max(groups, math.ceil(jobs * fmean(1 / most_of(group, batch_max) for _, _, group in heads)))
                hold = _hold(state, lane, name, now)
                yield Waiting(LANES[lane], name, jobs, groups, int(heads[0][0], 16), segments, calls, hold)


def _hold(state: Mapping[str, str], lane: int, source: str, now: int) -> str | None:
    if source.startswith(SYSTEM):
        return None
    return next((hold.kind for hold in holds(state, lane=lane, source=source, now_ms=now)), None)


def _window(
    redis: Redis, queue: QueueKeys, limit: Mapping[str, Any], *, state: Mapping[str, str], used: Mapping[str, str], now: int
) -> Window:
    name = limit["name"]
    count, window, set_by = float(limit["count"]), int(limit["window"]), None
    if f"limit:{name}" in state:
        changed_count, changed_window, _at, set_by = state[f"limit:{name}"].split(" ", 3)
        count, window = float(changed_count), int(changed_window)
    slots = cast("list[bytes]", redis.lrange(queue.window(name), 0, -1))
    counted = sum(float(used.get(f"{name}|{lane}", 0)) for lane in range(len(LANES)))
    ended = [_slot(slot) for slot in slots]
    over = sum(weight for at, weight in ended if at <= now - window)  # has stopped counting; the next claim will take it off
    in_flight = max(0.0, counted - sum(weight for _, weight in ended))
    return Window(name, limit["unit"], count, window / 1000, counted - over, in_flight, set_by)


def _slot(packed: bytes) -> tuple[int, float]:
    """When calls ended, and their weight."""
    ended, *weights = packed.decode().split(":")
    return int(ended), sum(map(float, weights))


def _holds(state: Mapping[str, str], waiting: tuple[Waiting, ...], now: int) -> tuple[Hold, ...]:
    places = [(LANES.index(one.lane), one.source) for one in waiting if not one.source.startswith(SYSTEM)] or [(0, "")]
    found = [hold for lane, source in places for hold in holds(state, lane=lane, source=source, now_ms=now)]
    return tuple({hold.text: hold for hold in found}.values())


def _next_permit(state: Mapping[str, str], now: int) -> int | None:
    known = [int(float(state[name])) for name in ("blocked_until", "silent_until") if name in state]
    return max((at for at in known if at > now), default=None)


def _needed(waiting: tuple[Waiting, ...], config: Mapping[str, Any]) -> dict[str, float]:
    """The calls that what is ready needs, and the messages that it is."""
    sends = [one for one in waiting if not one.source.startswith(SYSTEM)]
    messages = sum(one.jobs * (one.segments if config["segments"] else 1) for one in sends)
    return {"messages": messages, "calls": sum(one.calls for one in sends)}


def _reserved(waiting: tuple[Waiting, ...], config: Mapping[str, Any]) -> float:
    """The share of each window that the first of those who wait may not touch."""
    first = min((LANES.index(one.lane) for one in waiting), default=0)
    return float(sum(config["floors"][:first]))


def _calls_per_second(windows: tuple[Window, ...], needed: Mapping[str, float], reserved: float) -> float:
    """What the limits allow those who wait, of calls as full as theirs. A part of a call that the floors leave is none."""
    each = _weight(needed)
    return min((_usable(one, reserved) / one.seconds / each[one.unit] for one in windows), default=math.inf)


def _has_room(windows: tuple[Window, ...], needed: Mapping[str, float], config: Mapping[str, Any], reserved: float) -> bool:
    """Whether a call fits into every window now, so full that it would not wait for company."""
    least = {"calls": 1.0, "messages": min(_weight(needed)["messages"], config["messages_per_call"])}
    return all(one.used + min(least[one.unit], _usable(one, reserved)) <= _usable(one, reserved) for one in windows)


def _usable(window: Window, reserved: float) -> int:
    return max(1, math.floor(window.count * (1 - reserved)))


def _weight(needed: Mapping[str, float]) -> dict[str, float]:
    """What one of the calls counts in the limits of each unit."""
    return {"calls": 1.0, "messages": max(1.0, needed["messages"] / needed["calls"]) if needed["calls"] else 1.0}


def _arriving(windows: tuple[Window, ...], needed: Mapping[str, float]) -> float:
    """The calls per second that were made of late: without a backlog as many as arrive, and what waits is asked for besides.

    Seen in the longest window of at most a minute, for a short one holds few calls and a long one remembers what is long over.
    """
    calls = [one for one in windows if one.unit == "calls"]
    if not calls:
        return needed["calls"] / _MINUTE
    seen = max(calls, key=lambda one: (one.seconds <= _MINUTE, one.seconds if one.seconds <= _MINUTE else -one.seconds))
    return seen.used / seen.seconds
