"""Whether it adds up: what we say became of every message, held against the sandbox's own books."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from tuma_worker.cli.demo.stage import LIMITS
from tuma_worker.core.limits import Counted, Limit
from tuma_worker.core.states import ENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuma_producer import Intent


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo came to. `problems` names, in words, everything that does not add up; empty is good.

    `recipients` are those whose call the provider took, by our books. `lost` are recipients without an end, `limit_use` the fullest
    window of each limit as a share of it, by the sandbox's clock.
    """

    intents: int
    recipients: int
    ledger_recipients: int
    calls: int
    recipients_per_call: float
    delivered: int
    failed: int
    unknown: int
    expired: int
    lost: int
    duplicates: int
    limit_violations: int
    rate_limited_responses: int
    limit_use: dict[str, float]
    otps: int
    otp_p50_ms: float
    otp_p99_ms: float
    events: int
    seconds: float
    worker_killed: bool
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def add_up(
    intents: Iterable[Intent],
    events: Counter[str],
    otps: Mapping[str, float],
    ledger: Mapping[str, Any],
    *,
    seconds: float,
    worker_killed: bool,
) -> Summary:
    """Hold our books against the ledger."""
    intents = list(intents)
    counts: Counter[str] = Counter()
    for intent in intents:
        counts.update(intent.counts)
    in_all = counts.total()
    kept_back = counts["unknown"] + counts["expired"]
    p50, p99 = _waits(otps, ledger)
    summary = Summary(
        intents=len(intents),
        recipients=in_all - kept_back,
        ledger_recipients=ledger["recipients"],
        calls=ledger["calls"],
        recipients_per_call=round(ledger["recipients"] / max(1, ledger["calls"]), 1),
        delivered=counts["delivered"],
        failed=counts["failed"] + counts["undelivered"] + counts["rejected"],
        unknown=counts["unknown"],
        expired=counts["expired"],
        lost=in_all - sum(counts[state] for state in ENDS),
        duplicates=ledger["duplicates"],
        limit_violations=ledger["violations"],
        rate_limited_responses=ledger["rate_limited"],
        limit_use=_limit_use(ledger),
        otps=len(otps),
        otp_p50_ms=p50,
        otp_p99_ms=p99,
        events=events.total(),
        seconds=round(seconds, 1),
        worker_killed=worker_killed,
    )
    summary.problems.extend(_problems(summary, counts, events, ledger))
    return summary


def _problems(summary: Summary, counts: Counter[str], events: Counter[str], ledger: Mapping[str, Any]) -> Iterable[str]:
    """Everything that does not add up. A killed worker may leave calls whose outcome nobody can tell: said, they are not lost."""
    for state in counts.keys() - {state.value for state in ENDS}:
        yield f"{counts[state]} recipients are still {state}"
    for name in ("lost", "duplicates", "limit_violations", "rate_limited_responses"):
        if value := getattr(summary, name):
            yield f"{name} is {value}, and must be 0"
    spare = summary.unknown if summary.worker_killed else 0
    if not summary.recipients <= summary.ledger_recipients <= summary.recipients + spare:
        yield f"the ledger has {summary.ledger_recipients} recipients, and we say {summary.recipients}"
    if not summary.worker_killed and (summary.unknown or summary.expired):
        yield f"{summary.unknown} unknown and {summary.expired} expired, though nothing went wrong"
    if summary.delivered != ledger["messages"].get("delivered", 0):
        yield f"the ledger has {ledger['messages'].get('delivered', 0)} delivered, and we say {summary.delivered}"
    for state in ("delivered", "undelivered"):
        if events[f"tuma.recipient.{state}"] != counts[state]:
            yield f"{events[f'tuma.recipient.{state}']} events tell of {state}, and {counts[state]} recipients are"
    if events["tuma.intent.done"] < summary.intents:
        yield f"{events['tuma.intent.done']} events tell of done intents, and {summary.intents} are"


def _waits(otps: Mapping[str, float], ledger: Mapping[str, Any]) -> tuple[float, float]:
    """Median and 99th percentile, in ms, of how long a one-time password took from being asked for to being at the provider."""
    waits = [
        (call["arrived_at"] - otps[number]) * 1000 for call in ledger["accepted"] for number in call["recipients"] if number in otps
    ]
    if not waits:
        return 0.0, 0.0
    cuts = quantiles(waits, n=100, method="inclusive") if len(waits) > 1 else waits * 99
    return round(cuts[49], 1), round(cuts[98], 1)


def _limit_use(ledger: Mapping[str, Any]) -> dict[str, float]:
    calls = defaultdict(list)
    for call in ledger["accepted"]:
        calls[call["provider"]].append((call["arrived_at"], len(call["recipients"])))
    return {
        f"{account} {limit}": _fullest(limit, calls[account.partition("-")[0]])
        for account, texts in LIMITS.items()
        for limit in map(Limit.parse, texts)
    }


def _fullest(limit: Limit, calls: Iterable[tuple[float, int]]) -> float:
    """The most of a limit that any of its windows held, as a share of it."""
    weighted = sorted((at, 1 if limit.counted is Counted.CALLS else recipients) for at, recipients in calls)
    fullest, held, oldest = 0, 0, 0
    for at, weight in weighted:
        held += weight
        while weighted[oldest][0] <= at - limit.window:
            held -= weighted[oldest][1]
            oldest += 1
        fullest = max(fullest, held)
    return round(fullest / limit.count, 3)
