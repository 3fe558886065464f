"""What Lisoloo's errors mean, as tables: its error catalogue, the hundreds for codes to come, and what it blames.

Two shapes of error body exist: the structured one with `error_code`, and `detail` from the web framework. Texts are localised and
never looked at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Reply
from tuma_worker.providers.operations import Refusal
from tuma_worker.providers.reading import code, identifier, items, reference, retry_after, seconds
from tuma_worker.providers.verdicts import Findings, Rule, Verdict, decide, status_code, status_rule, unwell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tuma_worker.core.answers import Answer, Health
    from tuma_worker.providers.base import Call
    from tuma_worker.providers.http import Arrived

V = Verdict

# Lisoloo docs: errors page (1001-1109) and error concepts page (names further on). The provider names its ranges but not every
# code in them; a nameless one of which only the range is known raises an alarm where the message or the account pays for it.
CODES: Mapping[str, Rule] = {
    "1001": Rule(V.KEY),
    "1002": Rule(V.KEY),
    "1003": Rule(V.CONFIGURATION),
    "1004": Rule(V.SUSPENDED),
    "1005": Rule(V.KEY),
    "1101": Rule(V.SPLIT),
    "1102": Rule(V.REJECTED),
    "1103": Rule(V.REJECTED),
    "1104": Rule(V.NUMBER),
    "1105": Rule(V.REJECTED),
    "1106": Rule(V.REJECTED),
    "1107": Rule(V.REJECTED),
    "1108": Rule(V.CONFIGURATION),
    "1109": Rule(V.REJECTED),
    "1110": Rule(V.REJECTED),
    "1201": Rule(V.REJECTED, retryable=V.LATER, alarm=True),
    "1202": Rule(V.MONEY),
    "1203": Rule(V.SPLIT),
    "1204": Rule(V.REJECTED, retryable=V.LATER, alarm=True),
    "1205": Rule(V.REJECTED, retryable=V.LATER, alarm=True),
    "1301": Rule(V.LIMITED, after=60),
    "1302": Rule(V.OPERATOR),
    "1303": Rule(V.SUSPENDED, alarm=True),
    "1304": Rule(V.SUSPENDED, alarm=True),
    "1305": Rule(V.SUSPENDED, alarm=True),
    # "Retryable" on a system error promises that another call may succeed, not that this one sent nothing.
    "1401": Rule(V.UNKNOWN),
    "1402": Rule(V.LATER, final=V.REJECTED, after=30),
    "1403": Rule(V.UNKNOWN),
    "1404": Rule(V.UNKNOWN),
    "1405": Rule(V.UNKNOWN),
    "1501": Rule(V.REJECTED, retryable=V.LATER),
    "1502": Rule(V.REJECTED, retryable=V.LATER),
    "1503": Rule(V.UNKNOWN),
    "1504": Rule(V.UNKNOWN, retryable=V.LATER),
    "1505": Rule(V.UNKNOWN, retryable=V.LATER),
}

# 1001-1599 are Lisoloo's by promise: a code that it adds is read by its hundred until somebody gives it a line.
HUNDREDS: Mapping[str, Rule] = {
    "10": Rule(V.KEY, alarm=True),
    "11": Rule(V.REJECTED, alarm=True),
    "12": Rule(V.REJECTED, retryable=V.LATER, alarm=True),
    "13": Rule(V.SUSPENDED, alarm=True),
    "14": Rule(V.UNKNOWN, alarm=True),
    "15": Rule(V.UNKNOWN, alarm=True),
}

_RATE_LIMITED = 429
_CATALOGUED = re.compile(r"1[0-5]\d\d")
_ENTRY = re.compile(r"(?:body\.)?to(?:\[(?P<index>\d+)\]|\.(?P<place>\d+))?")


def refused(arrived: Arrived, call: Call) -> Reply:
    """The reply to `call` that a response other than 2xx carries."""
    rule, name = _rule(arrived)
    paths = [path for item in (*items(arrived.body, "details"), *items(arrived.body, "detail")) if (path := _path(item))]
    return Reply(
        answer=decide(rule, name, _findings(arrived, call, paths)),
        status=arrived.status,
        recognised=not rule.alarm,
        request_id=request_id(arrived),
    )


def health(arrived: Arrived) -> Health:
    """What a response other than 2xx to a probe says."""
    rule, name = _rule(arrived)
    return unwell(decide(rule, name, Findings(numbers=(), retryable=arrived.body.get("retryable"))))


def meaning(arrived: Arrived) -> tuple[Answer, str]:
    """What a response other than 2xx says that is about no recipient, and its code."""
    rule, name = _rule(arrived)
    delays = (seconds(arrived.body.get("retry_after")), retry_after(arrived.headers))
    after = max((delay for delay in delays if delay is not None), default=None)
    return decide(rule, name, Findings(numbers=(), after=after, retryable=arrived.body.get("retryable"))), name


def refusal(arrived: Arrived) -> Refusal:
    """The same, for an operation."""
    answer, name = meaning(arrived)
    return Refusal(answer, name, arrived.status, request_id(arrived))


def request_id(arrived: Arrived) -> str | None:
    """Lisoloo's reference for its support: in structured bodies, else in the usual header."""
    return reference(arrived.body.get("request_id")) or reference(arrived.headers.get("X-Request-ID"))


def _rule(arrived: Arrived) -> tuple[Rule, str]:
    name = code(arrived.body.get("error_code"))
    if name is not None and name in CODES:
        return CODES[name], name
    if name is not None and _CATALOGUED.fullmatch(name) and arrived.status != _RATE_LIMITED:
        return HUNDREDS[name[:2]], name
    rule = status_rule(arrived.status)
    # A code from outside the catalogue is news even where the status decides.
    return (rule, status_code(arrived.status)) if name is None else (Rule(rule.verdict, after=rule.after, alarm=True), name)


def _findings(arrived: Arrived, call: Call, paths: Sequence[str]) -> Findings:
    entries = list(_entries(paths))
    delays = (seconds(arrived.body.get("retry_after")), retry_after(arrived.headers))
    return Findings(
        numbers=call.numbers,
        blamed=frozenset(call.numbers[entry] for entry in entries if entry is not None and entry < len(call.numbers)),
        about_numbers=bool(entries),
        about_others=bool(paths) and not entries,
        after=max((delay for delay in delays if delay is not None), default=None),
        retryable=arrived.body.get("retryable"),
    )


def _entries(paths: Sequence[str]) -> Iterator[int | None]:
    """The entries of `to` that the body complains of; None where it complains of `to` but not of which."""
    for path in paths:
        if match := _ENTRY.fullmatch(path):
            index = match["index"] or match["place"]
            yield None if index is None else int(index)


def _path(item: object) -> str:
    """Where an item points: `field` is a path such as `to[0]`; the framework's `loc` is a list such as `["body", "to", 0]`."""
    location = items(item, "loc")
    if location:
        return ".".join(str(step) for step in location)
    return identifier(item.get("field")) or "" if isinstance(item, dict) else ""
