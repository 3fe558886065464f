"""What Lineserve's errors and headers mean, as tables: its error codes, whom it blames, and what is left of its limits.

Which HTTP status belongs to which code is not documented, so a known code decides and the status speaks only without one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Quota, Reply
from tuma_worker.providers.operations import Refusal
from tuma_worker.providers.reading import code, digits, identifier, reference, retry_after, section, until, whole
from tuma_worker.providers.verdicts import Findings, Rule, Verdict, decide, status_code, status_rule, unwell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_worker.core.answers import Health
    from tuma_worker.providers.base import Call
    from tuma_worker.providers.http import Arrived

V = Verdict

# Lineserve docs: messaging API page, and `rate_limited` and `invalid_parameter` from its error handling page.
CODES: Mapping[str, Rule] = {
    "invalid_phone_number": Rule(V.NUMBER),
    # Approval is per country, so that a few numbers of a call may be why.
    "sender_id_not_approved": Rule(V.SPLIT, sender=True),
    "insufficient_balance": Rule(V.MONEY),
    "message_too_long": Rule(V.REJECTED),
    "rate_limit_exceeded": Rule(V.LIMITED, after=60),
    "rate_limited": Rule(V.LIMITED, after=60),
    "invalid_template": Rule(V.REJECTED),
    # Assumed to be the code for more recipients than a bulk call may carry, which is not documented.
    "invalid_parameter": Rule(V.UNCLEAR),
}

# Header of what is left, header of when it resets (where there is one), and the limit's name as `Limit.parse` gives it.
QUOTAS: tuple[tuple[str, str | None, str], ...] = (
    ("X-RateLimit-Remaining", "X-RateLimit-Reset", "calls-3600s"),
    ("X-SMS-Remaining", None, "messages-3600s"),
)

_HOURLY = "calls-3600s"
_RECIPIENT_FIELD = re.compile(r"(?:to|phone|recipients?)(?:\[(?P<index>\d+)\]|\.(?P<place>\d+))?")

# Unix seconds between 2001 and 2286: a number outside is a delay or milliseconds, and which is not documented.
_PLAUSIBLE = range(1_000_000_000, 10_000_000_000)


def refused(arrived: Arrived, call: Call) -> Reply:
    """The reply to `call` that a response other than 2xx carries."""
    error = section(arrived.body, "error")
    rule, name = _rule(arrived, code(error.get("code")))
    return Reply(
        answer=decide(rule, name, _findings(arrived, call, section(error, "details"))),
        status=arrived.status,
        quotas=quotas(arrived.headers),
        recognised=not rule.alarm,
        request_id=request_id(arrived),
    )


def health(arrived: Arrived) -> Health:
    """What a response other than 2xx to a probe says."""
    rule, name = _rule(arrived, code(section(arrived.body, "error").get("code")))
    return replace(unwell(decide(rule, name, Findings(numbers=()))), quotas=quotas(arrived.headers))


def meaning(arrived: Arrived) -> Refusal:
    """What a response other than 2xx says that is about no send."""
    rule, name = _rule(arrived, code(section(arrived.body, "error").get("code")))
    answer = decide(rule, name, Findings(numbers=(), after=_after(arrived.headers)))
    return Refusal(answer, name, arrived.status, request_id(arrived), quotas(arrived.headers))


def request_id(arrived: Arrived) -> str | None:
    """A reference for support. Lineserve documents none; its proxies may add the usual header."""
    return reference(arrived.headers.get("X-Request-ID"))


def quotas(headers: Mapping[str, str]) -> tuple[Quota, ...]:
    """What the headers say is left. The limit per minute has no header."""
    return tuple(
        Quota(limit, remaining, _reset(headers.get(reset_header)) if reset_header else None)
        for remaining_header, reset_header, limit in QUOTAS
        if (remaining := whole(headers.get(remaining_header))) is not None
    )


def _rule(arrived: Arrived, name: str | None) -> tuple[Rule, str]:
    if name is not None and name in CODES:
        return CODES[name], name
    rule = status_rule(arrived.status)
    # A code without a line is news even where the status decides.
    return (rule, status_code(arrived.status)) if name is None else (Rule(rule.verdict, after=rule.after, alarm=True), name)


def _findings(arrived: Arrived, call: Call, details: Mapping[str, object]) -> Findings:
    field = identifier(details.get("field")) or identifier(details.get("parameter")) or ""
    match = _RECIPIENT_FIELD.fullmatch(field)
    return Findings(
        numbers=call.numbers,
        blamed=_by_index(match, call) | _by_value(details.get("value"), call),
        about_numbers=match is not None,
        about_others=bool(field) and match is None,
        after=_after(arrived.headers),
    )


def _by_index(match: re.Match[str] | None, call: Call) -> frozenset[str]:
    index = (match["index"] or match["place"]) if match else None
    return frozenset(call.numbers[int(index) : int(index) + 1]) if index is not None else frozenset()


def _by_value(value: object, call: Call) -> frozenset[str]:
    """The call's numbers among the values that the error quotes, compared by their digits."""
    values = value if isinstance(value, list) else [value]
    quoted = {digits(text) for item in values if (text := identifier(item))}
    return frozenset(number for number in call.numbers if digits(number) in quoted)


def _after(headers: Mapping[str, str]) -> float | None:
    """The delay asked for. The reset belongs to the hourly calls: while some of those are left, another limit was met."""
    asked = retry_after(headers)
    if asked is not None:
        return asked
    hourly = next((quota for quota in quotas(headers) if quota.limit == _HOURLY), None)
    if hourly is None or hourly.remaining > 0 or hourly.resets_at is None:
        return None
    return until(hourly.resets_at, headers)


def _reset(value: str | None) -> float | None:
    moment = whole(value)
    return float(moment) if moment is not None and moment in _PLAUSIBLE else None
