"""Why an intent stands where it stands: what holds it, what goes before it, and when it is expected to go.

The view of a line is that of `backlog`: the intent is looked at as if it were put into the line now, but in its own place.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tuma_producer import eta
from tuma_producer.contract import backlog, wire
from tuma_producer.contract.times import moment
from tuma_producer.eta import Lane
from tuma_producer.intents import Send
from tuma_producer.results import Explanation, Hold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_producer.contract.backlog import Outlook
    from tuma_producer.contract.keys import QueueKeys
    from tuma_producer.contract.reading import Found
    from tuma_producer.contract.steps import ReadSteps
    from tuma_producer.results import Intent, Recipient

_PUT_OFF_SEEN = 1000  # recipients of which it is asked whether they wait for a time
_GROUPS_SEEN = 100  # of those before its own; the jobs of further ones are taken to be as many as theirs are on the average


def explain(found: Found) -> ReadSteps[Explanation]:
    """The explanation of an intent as it was found."""
    intent, at = found.intent(), moment(found.now)
    waiting = [one for one in intent.recipients if one.state == "queued"]
    if not waiting:
        return Explanation(intent, at, found.holds())
    times = yield from _times(found, waiting)
    later = [time for time in times.values() if time > found.now]
    in_line = [one for one in waiting if times.get(one.number, 0) <= found.now]
    holds = (*found.holds(), *_later(later))
    if not in_line:
        return Explanation(intent, at, holds)
    request = _as_if_now(found, intent, in_line)
    jobs, groups = yield from _before(found, in_line)
    looks, _ = yield from backlog.look([request])
    (look,) = looks.values()
    look = _in_its_place(look, jobs, groups)
    expected = look.expected(request, [])
    at_last = None if expected is None else moment(expected)
    return Explanation(intent, at, holds, len(in_line), _ahead(look, request), at_last)


def _times(found: Found, waiting: Sequence[Recipient]) -> ReadSteps[dict[str, int]]:
    """The times that recipients wait for, of those that wait for one; of the first ones only."""
    seen = waiting[:_PUT_OFF_SEEN]
    prefix = f"{_prefix(found)}{found.lookup.short_id}:"
    (scores,) = yield [("ZMSCORE", _queue(found).due, *(prefix + one.number for one in seen))]
    return {one.number: int(float(score)) for one, score in zip(seen, scores, strict=True) if score is not None}


def _later(times: Sequence[int]) -> Sequence[Hold]:
    """That some wait for a time: put off after a call, or held back so that they can be withdrawn."""
    if not times:
        return ()
    first, last = moment(min(times)), moment(max(times))
    until = first.isoformat(timespec="seconds") + (f" to {last.isoformat(timespec='seconds')}" if last > first else "")
    return (Hold("later", f"put off until {until}: {len(times)} recipients", until=first),)


def _as_if_now(found: Found, intent: Intent, in_line: Sequence[Recipient]) -> wire.Enqueue:
    """What `backlog` reckons with: account, lane, source, and how much it is. Its text is of no matter."""
    numbers = [one.number for one in in_line]
    account, group = found.lookup.account, found.record["group"]
    send = Send(account=account, to=numbers, message="-", priority=intent.priority, ignore_quiet=intent.ignore_quiet)
    entry = wire.entry_of(send, intent.source, found.lookup.short_id)
    return wire.Enqueue([], [], send, entry._replace(group=group))


def _before(found: Found, in_line: Sequence[Recipient]) -> ReadSteps[tuple[int, int]]:
    """How many jobs of its own source, in how many groups, go before its own."""
    queue, prefix = _queue(found), _prefix(found)
    place, group = prefix.split("|")[:2], found.record["group"]
    since = min(one.since.timestamp() if one.since else int(found.record["at"]) / 1000 for one in in_line)
    head, ahead_in_group = yield [
        ("ZRANGEBYLEX", queue.entries, f"[{prefix}", f"({prefix}~", "LIMIT", "0", "1"),
        ("ZLEXCOUNT", queue.entries, f"[{prefix}", f"({prefix}{round(since * 1000):011x}|{found.lookup.short_id}:"),
    ]
    if not head:
        return 0, 0
    oldest = head[0].decode()[len(prefix) :].partition("|")[0]
    source = "|".join(place) + "|"
    span = (f"[{source}", f"({source}{oldest}|{group}")
    count, names = yield [
        ("ZLEXCOUNT", queue.groups, *span),
        ("ZRANGEBYLEX", queue.groups, *span, "LIMIT", "0", str(_GROUPS_SEEN)),
    ]
    if not names:
        return ahead_in_group, int(ahead_in_group > 0)
    prefixes = [f"{source}{name.decode()[len(source) :].partition('|')[2]}|" for name in names]
    jobs = yield [("ZLEXCOUNT", queue.entries, f"[{one}", f"({one}~") for one in prefixes]
    return ahead_in_group + round(sum(jobs) * count / len(names)), count + int(ahead_in_group > 0)


def _in_its_place(look: Outlook, jobs: int, groups: int) -> Outlook:
    """The line without what its own source has put there after it."""
    other_jobs, other_groups = look.lane.jobs - look.lane.own_jobs, look.lane.groups - look.lane.own_groups
    return replace(look, lane=Lane(other_jobs + jobs, other_groups + groups, jobs, groups, look.lane.others))


def _ahead(look: Outlook, request: wire.Enqueue) -> int:
    """How many recipients of others are called before the last of these."""
    calls = math.ceil(request.recipients / look.batch_max)
    return eta.ahead(look.above, look.lane, jobs=request.recipients, groups=calls)[0] - request.recipients


def _prefix(found: Found) -> str:
    """What the names of its jobs begin with."""
    return f"{found.record['lane']}|{found.record['source']}|{found.record['group']}|"


def _queue(found: Found) -> QueueKeys:
    return found.lookup.keys.queue("send")
