"""From a line of a provider's table to an answer.

Each provider's `statuses` says in tables which verdict a code or a status deserves; this module holds the verdicts, the lines that
HTTP itself gives to everybody, and the one function that turns a line and what was found beside it into a value of `core.answers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Accepted, AccountFault, Fault, Health, Rejected, TryLater, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuma_worker.core.answers import Answer


class Verdict(StrEnum):
    """What a code says, in the words that the documentation's tables use."""

    REJECTED = "rejected"
    NUMBER = "rejected, a number is bad"  # if it does not say which, any of several is suspect
    SPLIT = "rejected, a number may be why"  # or their count: a smaller call may pass
    UNCLEAR = "rejected, a number may be why unless another field is named"
    LATER = "try later"
    LIMITED = "try later, the whole account"
    MONEY = "account fault, money"
    KEY = "account fault, key"
    SUSPENDED = "account fault, suspended"
    OPERATOR = "account fault, suspended, only a person resumes it"
    CONFIGURATION = "account fault, configuration"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a table.

    `retryable` and `final` replace the verdict where the body's own `retryable` is true or false. `after` is the delay in seconds
    where a "try later" comes without one. `alarm` marks what the provider's documents do not explain, `sender` what is the sender's
    fault even where a number is named.
    """

    verdict: Verdict
    retryable: Verdict | None = None
    final: Verdict | None = None
    after: float | None = None
    alarm: bool = False
    sender: bool = False

    def judge(self, retryable: object) -> Verdict:
        """The verdict, given the body's `retryable` (anything but a bool says nothing)."""
        if retryable is True and self.retryable is not None:
            return self.retryable
        if retryable is False and self.final is not None:
            return self.final
        return self.verdict


@dataclass(frozen=True, slots=True)
class Findings:
    """What a refusal carried beside its code.

    `numbers` are the call's, `blamed` those of them that the provider named, `about_numbers` whether it spoke of recipients at all,
    and `about_others` whether it spoke of other fields only. `after` is the delay in seconds that it asked for.
    """

    numbers: Sequence[str]
    blamed: frozenset[str] = frozenset()
    about_numbers: bool = False
    about_others: bool = False
    after: float | None = None
    retryable: object = None


# Without a code that we can read, the status speaks: RFC 9110, and what both providers document of it.
STATUSES: Mapping[int, Rule] = {
    400: Rule(Verdict.UNCLEAR),
    401: Rule(Verdict.KEY),
    402: Rule(Verdict.MONEY),
    403: Rule(Verdict.SUSPENDED),
    404: Rule(Verdict.CONFIGURATION),
    405: Rule(Verdict.CONFIGURATION),
    407: Rule(Verdict.CONFIGURATION),
    408: Rule(Verdict.UNKNOWN),
    409: Rule(Verdict.UNKNOWN),
    413: Rule(Verdict.SPLIT),
    415: Rule(Verdict.CONFIGURATION),
    422: Rule(Verdict.UNCLEAR),
    429: Rule(Verdict.LIMITED, after=60),
    500: Rule(Verdict.UNKNOWN),
    502: Rule(Verdict.UNKNOWN),
    503: Rule(Verdict.UNKNOWN),
    504: Rule(Verdict.UNKNOWN),
}

# The hundreds of a status that has no line of its own. A redirect is not followed: the base URL points to the wrong place.
STATUS_CLASSES: Mapping[int, Rule] = {
    1: Rule(Verdict.UNKNOWN, alarm=True),
    3: Rule(Verdict.CONFIGURATION, alarm=True),
    4: Rule(Verdict.REJECTED, alarm=True),
    5: Rule(Verdict.UNKNOWN, alarm=True),
}

_FAULTS: Mapping[Verdict, Fault] = {
    Verdict.MONEY: Fault.MONEY,
    Verdict.KEY: Fault.KEY,
    Verdict.SUSPENDED: Fault.SUSPENDED,
    Verdict.OPERATOR: Fault.SUSPENDED,
    Verdict.CONFIGURATION: Fault.CONFIGURATION,
}

_REFUSALS = frozenset({Verdict.REJECTED, Verdict.NUMBER, Verdict.SPLIT, Verdict.UNCLEAR})


def status_rule(status: int) -> Rule:
    """The line for a status without a code."""
    return STATUSES.get(status) or STATUS_CLASSES.get(status // 100) or Rule(Verdict.UNKNOWN, alarm=True)


def status_code(status: int) -> str:
    """The name under which an answer reports a status that came without a code."""
    return f"http-{status}"


def decide(rule: Rule, code: str, findings: Findings) -> Answer:
    """The answer that `rule` gives to a refusal with `code`."""
    verdict = rule.judge(findings.retryable)
    if verdict in _REFUSALS:
        return _rejected(verdict, code, findings, lasting=not rule.sender)
    if verdict in _FAULTS:
        return AccountFault(code, _FAULTS[verdict], operator=verdict is Verdict.OPERATOR)
    if verdict is Verdict.UNKNOWN:
        return Unknown(code)
    after = findings.after if findings.after is not None else rule.after
    return TryLater(code, after, scope="account" if verdict is Verdict.LIMITED else "batch")


def unwell(answer: Answer) -> Health:
    """The health that an answer tells which is no success."""
    code = "" if isinstance(answer, Accepted) else answer.code
    if isinstance(answer, AccountFault):
        return Health(works=False, code=code, operator=answer.operator, fault=answer.fault)
    return Health(works=False, code=code)


def _rejected(verdict: Verdict, code: str, findings: Findings, *, lasting: bool) -> Rejected:
    only_one = len(findings.numbers) == 1
    if verdict is Verdict.NUMBER and only_one:
        return Rejected(code, frozenset(findings.numbers), lasting=lasting)
    cleared = verdict is Verdict.REJECTED or (verdict is Verdict.UNCLEAR and findings.about_others)
    suspect = findings.about_numbers or not cleared
    return Rejected(
        code,
        findings.blamed,
        suspect_numbers=suspect and not findings.blamed and not only_one,
        lasting=lasting or not findings.blamed,
    )
