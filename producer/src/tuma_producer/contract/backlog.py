"""When a send is expected to go: what to read for it, how it is understood, and which sends are refused for it.

Only sends that ask are looked into: two round trips for all of those in a pipeline, and a dozen commands for each lane and source.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from tuma_producer import eta
from tuma_producer.contract.groups import most_of
from tuma_producer.contract.holds import stopped
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import texts
from tuma_producer.contract.times import moment, server_time
from tuma_producer.contract.wire import LANES, Enqueue, deadline_of
from tuma_producer.countries import code_of
from tuma_producer.errors import TumaError, WouldBeLate
from tuma_producer.eta import Lane, Window
from tuma_producer.quiet import Quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tuma_producer.contract.bundles import Chunk
    from tuma_producer.contract.steps import Command, ReadSteps
    from tuma_producer.intents import Send

_SYSTEM = "~"  # the source of jobs that need no permit; ready.lua says what that means


def asks(request: Enqueue | TumaError) -> TypeGuard[Enqueue]:
    """Whether it is a request about which somebody wants to know when it is expected to go."""
    return isinstance(request, Enqueue) and (request.send.eta or request.send.refuse_if_late)


def ask(requests: Chunk) -> ReadSteps[list[Enqueue | TumaError]]:
    """The same requests, those that ask with their time; in the place of one that would be late its `WouldBeLate`.

    One whose idempotency key stands for a send already is no new one, and is not refused. Those before it in the list go first.
    """
    asking = [one for one in requests if asks(one)]
    keyed = [one for one in asking if one.send.refuse_if_late and one.send.idempotency_key is not None]
    looks, there = yield from look(asking, [("EXISTS", one.keys[-1]) for one in keyed])
    known = {one.short_id for one, exists in zip(keyed, there, strict=True) if exists}
    return list(_answered(requests, looks, known))


def look(requests: Sequence[Enqueue], more: Sequence[Command] = ()) -> ReadSteps[tuple[dict[Line, Outlook], list[Any]]]:
    """How the lines stand that these are going to stand in, and the replies to some more commands."""
    accounts = list(dict.fromkeys(one.send.account for one in requests))
    profiles = yield [("HGET", account_keys(account).profile, "queue") for account in accounts]
    configs = {account: json.loads(raw) if raw else None for account, raw in zip(accounts, profiles, strict=True)}
    lines = list(dict.fromkeys(map(Line.of, requests)))
    commands = {line: list(_commands(line, configs[line.account] or {})) for line in lines}
    replies = iter((yield [*(command for line in lines for command in commands[line]), *more]))
    looks = {line: _look(line, configs[line.account], [next(replies) for _ in commands[line]]) for line in lines}
    return looks, list(replies)


def _answered(requests: Chunk, looks: Mapping[Line, Outlook], known: set[str]) -> Iterator[Enqueue | TumaError]:
    before: list[Enqueue] = []
    for request in requests:
        answer = request
        if asks(request):
            look = looks[Line.of(request)]
            at = look.expected(request, before)
            answer = replace(request, eta=None if at is None else moment(at))
            if request.send.refuse_if_late and request.short_id not in known and look.is_late(request.send, at):
                answer = WouldBeLate(answer.eta, moment(look.deadline(request.send)), look.stopped)
        if isinstance(answer, Enqueue):
            before.append(answer)
        yield answer


# --------------------------------------------------------------------------------------------------------------- what is read


@dataclass(frozen=True, slots=True)
class Line:
    """Where a send is going to stand."""

    account: str
    lane: int
    source: str

    @classmethod
    def of(cls, request: Enqueue) -> Line:
        """Where this one does."""
        return cls(request.send.account, LANES.index(request.send.priority), request.entry.source)

    def goes_before(self, other: Line) -> bool:
        """Whether what was put there first goes before what comes to the other's place then."""
        return self.account == other.account and self.lane <= other.lane


def _commands(line: Line, config: Mapping[str, Any]) -> Iterator[Command]:
    queue = account_keys(line.account).queue("send")
    yield ("TIME",)
    yield "HGETALL", queue.state
    yield "HGETALL", queue.used
    yield "ZCARD", queue.sources(line.lane)
    for members in (queue.entries, queue.groups):
        # A brace follows the bar in the alphabet.
        yield "ZLEXCOUNT", members, "[0|", f"({line.lane}|"
        yield "ZLEXCOUNT", members, f"[{line.lane}|", f"({line.lane + 1}|"
        yield (
            "ZLEXCOUNT",
            members,
            f"[{line.lane}|{line.source}|",
            f"({line.lane}|{line.source}}}",
        )
        yield "ZLEXCOUNT", members, f"[0|{_SYSTEM}|", f"(0|{_SYSTEM}}}"
    for limit in config.get("limits", ()):
        yield "LRANGE", queue.window(limit["name"]), "0", "-1"


@dataclass(frozen=True, slots=True)
class Outlook:
    """A line as it stood at `now`. `stopped` says why nobody can tell when it moves; before `least` nothing of it does."""

    now: int
    above: Lane
    lane: Lane
    windows: tuple[Window, ...]
    batch_max: int
    count_segments: bool
    stopped: str | None
    least: int
    quiet: Quiet | None

    def expected(self, request: Enqueue, before: Sequence[Enqueue]) -> int | None:
        """When the last of its recipients is called, those of the same list before it; None where nobody can tell."""
        if self.stopped is not None:
            return None
        sooner = [one for one in before if Line.of(one).goes_before(Line.of(request))]
        others = {one.entry.group for one in sooner} - {request.entry.group}
        own_jobs = request.recipients + sum(one.recipients for one in sooner)
        own_groups = math.ceil(request.recipients / most_of(request.entry.group, self.batch_max)) + len(others)
        jobs, groups = eta.ahead(self.above, self.lane, jobs=own_jobs, groups=own_groups)
        messages = jobs * (request.segments if self.count_segments else 1)
        at = eta.expected(self.now, self.windows, calls=max(groups, math.ceil(jobs / self.batch_max)), messages=messages)
        at = max(at, self.least, self.now + round(1000 * (request.send.cancel_within or 0)))
        return at if self.quiet is None or request.send.ignore_quiet else self._awake(self.quiet, request.send, at)

    def _awake(self, quiet: Quiet, send: Send, at: int) -> int:
        """When the last of the recipients may be called from a time on, for it may be quiet then."""
        if send.priority not in quiet.priorities:
            return at
        ends = [quiet.until_for(code, moment(at)) for code in {code_of(number) for number in send.to}]
        return max([at, *(round(end.timestamp() * 1000) for end in ends if end is not None)])

    def is_late(self, send: Send, at: int | None) -> bool:
        """Whether it would come to its deadline before it goes."""
        return at is None or at >= self.deadline(send)

    def deadline(self, send: Send) -> int:
        """Its deadline, in Unix milliseconds."""
        told = deadline_of(send)
        return self.now + int(told[1:]) if told.startswith("+") else int(told)


def _look(line: Line, config: Mapping[str, Any] | None, replies: Sequence[Any]) -> Outlook:
    time, raw_state, raw_used, sources, *counts = replies[:12]
    config = config or {"limits": (), "batch_max": 1, "segments": True}
    seen = _Seen(line.lane, config, texts(raw_state), texts(raw_used), server_time(time))
    above, lane = _lanes(line.lane, sources, counts[:4], counts[4:])
    return Outlook(
        now=seen.now,
        above=above,
        lane=lane,
        windows=tuple(map(seen.window, config["limits"], replies[12:])),
        batch_max=config["batch_max"],
        count_segments=config["segments"],
        stopped=stopped(seen.state, lane=line.lane, source=line.source),
        least=int(float(seen.state.get("blocked_until", 0))),
        quiet=Quiet.from_json(config["quiet"]) if "quiet" in config else None,
    )


def _lanes(lane: int, sources: int, jobs: Sequence[int], groups: Sequence[int]) -> tuple[Lane, Lane]:
    """The lanes above and its own, without the jobs of the system's, which need no permit and stand in the first."""
    (above_jobs, lane_jobs, own_jobs, system_jobs), (above_groups, lane_groups, own_groups, system_groups) = jobs, groups
    if lane == 0:
        lane_jobs, lane_groups, sources = lane_jobs - system_jobs, lane_groups - system_groups, sources - bool(system_jobs)
    else:
        above_jobs, above_groups = above_jobs - system_jobs, above_groups - system_groups
    others = sources - bool(own_jobs)
    return Lane(above_jobs, above_groups), Lane(lane_jobs, lane_groups, own_jobs, own_groups, max(0, others))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a line's queue is configured with, and its state and used weights as they were read."""

    lane: int
    config: Mapping[str, Any]
    state: Mapping[str, str]
    used: Mapping[str, str]
    now: int

    def window(self, limit: Mapping[str, Any], slots: Sequence[bytes]) -> Window:
        name = limit["name"]
        count, span = self._steered(limit)
        parts = [slot.decode().split(":") for slot in slots]
        listed = [(int(ended) + span, sum(map(float, weights))) for ended, *weights in parts]
        counted = sum(float(self.used.get(f"{name}|{lane}", 0)) for lane in range(len(LANES)))
        return Window(
            of_messages=limit["unit"] == "messages",
            count=count,
            span=span,
            most=max(count - sum(self.config["floors"][: self.lane]) * count, min(count, 1.0)),
            # What is over by now is taken off the used weights by the next claim.
            ends=tuple((at, weight) for at, weight in listed if at > self.now),
            flying=max(0.0, counted - sum(weight for _, weight in listed)),
            opened=int(self.state.get(f"born:{name}", self.now)) if self.config["cold_start"] == "paced" else None,
            paced_from=self._paced_from(name),
        )

    def _steered(self, limit: Mapping[str, Any]) -> tuple[float, int]:
        """Count and window, as operators may have changed them."""
        changed = self.state.get(f"limit:{limit['name']}", "").split(" ")
        return (float(changed[0]), int(changed[1])) if len(changed) > 1 else (float(limit["count"]), int(limit["window"]))

    def _paced_from(self, name: str) -> int | None:
        return int(float(self.state.get(f"pace:{self.lane}:{name}", 0))) if self.config["paced"][self.lane] else None
