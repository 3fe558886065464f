"""What follows from a provider's answer. Pure: it decides, somebody else acts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from tuma_worker.core.answers import Accepted, AccountFault, Answer, Fault, Rejected, TryLater, Unknown
from tuma_worker.core.states import Evidence, RecipientState

Chooser = Callable[[float], float]  # a number between 0 and its argument: the dice, handed in


class Permit(StrEnum):
    """What becomes of the permit: the call has `ended`, was never made (`void`), or may still reach the provider (`grace`)."""

    ENDED = "ended"
    VOID = "void"
    GRACE = "grace"


class Untaken(StrEnum):
    """What proves that the provider took nothing of a call: it `refused` to read it, or the call was `unsent`."""

    REFUSED = "refused"
    UNSENT = "unsent"


@dataclass(frozen=True, slots=True)
class Move:
    """Where a recipient goes, who says so, and the provider's code where there is one."""

    target: RecipientState
    evidence: Evidence = Evidence.PROVIDER
    reason: str = ""
    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class Halt:
    """Why the account stops.

    `after` is how many seconds it stays so at the least: then a probe goes, or, with `operator`, a person may resume it. `permit`
    is true where the probe is a call that counts against the queue's limits.
    """

    fault: Fault
    code: str
    operator: bool
    after: float
    permit: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How patiently an account is retried. Times in seconds.

    `tries` is how many calls a recipient may be in that are refused for its own sake (`NextStep.spends`). Delays grow from
    `base` by powers of two up to `most` and are drawn between nothing and that. `blocked` is the pause after a
    refusal for too many calls that names no time; `resolve_after` how long to wait for evidence about a call without an answer;
    `bad_number_ttl` how long a number that the provider blamed is left out of calls (0: not at all).

    `asks` are the faults whose end the provider can be asked about, every `probe_every`; with `asking_counts` that is a call within
    the limits of the sends. Where it cannot be asked, one send tries after `cool_down`. `suspension` is how long an operator is
    told to leave an account alone that only a person may resume.
    """

    tries: int = 10
    base: float = 2.0
    most: float = 300.0
    blocked: float = 60.0
    resolve_after: float = 60.0
    bad_number_ttl: float = 86_400.0
    asks: frozenset[Fault] = frozenset()
    asking_counts: bool = False
    probe_every: float = 60.0
    cool_down: float = 900.0
    suspension: float = 3600.0


@dataclass(frozen=True, slots=True)
class NextStep:
    """All that settling a call must write.

    `moves` names recipients that fare otherwise than `rest`; with `rest` None the others stay as they are. `retry` is the delay
    for those that go back to the queue, `most` the largest batch they may join there (0: no such limit). `block` closes the queue
    for a time, `halt` the account. `resolve` asks for evidence after a time. `bad` are numbers to be left out of the account's
    calls for the time `bad_for`. `spends` says whether the call counts among the tries of those that go back: only one that was put
    off for its own sake does, not one that was refused for the account's sake or for that of a number among them. `untaken` is the
    proof that the provider took nothing of the call, None where there is none. Times in seconds.
    """

    phase: str
    code: str
    permit: Permit
    rest: Move | None
    moves: Mapping[str, Move] = field(default_factory=dict)
    provider_id: str = ""
    retry: float = 0.0
    most: int = 0
    block: float | None = None
    halt: Halt | None = None
    resolve: float | None = None
    bad: frozenset[str] = frozenset()
    bad_for: float = 0.0
    spends: bool = False
    untaken: Untaken | None = None

    def move(self, number: str) -> Move | None:
        """Where this recipient goes; None where it stays."""
        return self.moves.get(number, self.rest)


_AGAIN = Move(RecipientState.QUEUED)


def next_step(answer: Answer, tries: Mapping[str, int], policy: Policy, choose: Chooser) -> NextStep:
    """Decide what follows. `tries` counts for each number of the call how many it has been in, this one included."""
    match answer:
        case Accepted():
            return _accepted(answer)
        case Rejected():
            return _remembering(answer, tries, policy, _rejected(answer, tries))
        case TryLater():
            return _try_later(answer, tries, policy, choose)
        case AccountFault(code=code):
            return NextStep("refused", code, Permit.ENDED, _AGAIN, halt=halt(answer, policy), untaken=Untaken.REFUSED)
        case Unknown(code=code):
            return NextStep("unknown", code, Permit.GRACE, None, resolve=policy.resolve_after)
        case _:
            assert_never(answer)


def _accepted(answer: Accepted) -> NextStep:
    moves = {
        number: Move(
            RecipientState.SUBMITTED if one.accepted else RecipientState.REJECTED,
            reason=one.reason or "",
            provider_id=one.provider_id or "",
        )
        for number, one in answer.recipients.items()
    }
    return NextStep("accepted", "", Permit.ENDED, Move(RecipientState.SUBMITTED), moves=moves, provider_id=answer.provider_id)


def _rejected(answer: Rejected, numbers: Collection[str]) -> NextStep:
    blamed = answer.numbers.intersection(numbers)
    if answer.ours:
        return _refused_by_us(answer.code, blamed, len(numbers) - len(blamed))
    refused = Move(RecipientState.REJECTED, reason=answer.code)
    if blamed and len(blamed) < len(numbers):
        # The provider named the bad ones: they end, the innocent go again at once. Each such call ends somebody, so it ends itself.
        moves = dict.fromkeys(blamed, refused)
        return NextStep("rejected", answer.code, Permit.ENDED, _AGAIN, moves=moves, untaken=Untaken.REFUSED)
    if answer.suspect_numbers and not blamed and len(numbers) > 1:
        # One of them may be bad and nobody says which: halve until it stands alone. For one bad number in 1,000 that is 20 calls.
        most = (len(numbers) + 1) // 2
        return NextStep("rejected", answer.code, Permit.ENDED, _AGAIN, most=most, untaken=Untaken.REFUSED)
    return NextStep("rejected", answer.code, Permit.ENDED, refused)


def _refused_by_us(code: str, blamed: Collection[str], others: int) -> NextStep:
    """No call was made. Where some alone were refused, the others go at once."""
    refused = Move(RecipientState.REJECTED, Evidence.INFERRED, code)
    if blamed and others:
        return NextStep("rejected", code, Permit.VOID, _AGAIN, moves=dict.fromkeys(blamed, refused), untaken=Untaken.UNSENT)
    return NextStep("rejected", code, Permit.VOID, refused)


def _remembering(answer: Rejected, numbers: Collection[str], policy: Policy, step: NextStep) -> NextStep:
    """The step, with what is to be known of these numbers before the next call.

    Only a number that the provider blamed counts, by name or because it stood alone when a number was said to be bad: a whole call
    may be refused for its text, its size or its sender, and then the number is innocent.
    """
    blamed = answer.numbers.intersection(numbers)
    if not blamed or not answer.lasting or policy.bad_number_ttl <= 0:
        return step
    return replace(step, bad=blamed, bad_for=policy.bad_number_ttl)


def _try_later(answer: TryLater, tries: Mapping[str, int], policy: Policy, choose: Chooser) -> NextStep:
    permit = Permit.ENDED if answer.left else Permit.VOID
    if answer.scope == "account":
        after = answer.after if answer.after is not None else policy.blocked
        return NextStep("refused", answer.code, permit, _AGAIN, block=after, untaken=_untaken(answer))
    failed = Move(RecipientState.FAILED, reason=answer.code)
    spent = {number: failed for number, tried in tries.items() if answer.counts and tried >= policy.tries}
    left = [tried for number, tried in tries.items() if number not in spent]  # who joined the call later has tries of its own
    if not left:
        return NextStep("refused", answer.code, permit, failed)
    retry = back_off(answer.after, max(left), policy, choose)
    return NextStep("refused", answer.code, permit, _AGAIN, spent, retry=retry, spends=answer.counts, untaken=_untaken(answer))


def _untaken(answer: TryLater) -> Untaken | None:
    """A limit is asked before the call is read; trouble at the provider's may come after some of it was taken."""
    if not answer.left:
        return Untaken.UNSENT
    return Untaken.REFUSED if answer.scope == "account" else None


def halt(answer: AccountFault, policy: Policy) -> Halt:
    """How an account stops, and what may end that."""
    asks = answer.fault in policy.asks
    if answer.operator:
        return Halt(answer.fault, answer.code, operator=True, after=policy.suspension)
    after = policy.probe_every if asks else policy.cool_down
    return Halt(answer.fault, answer.code, operator=False, after=after, permit=asks and policy.asking_counts)


def back_off(asked: float | None, tried: int, policy: Policy, choose: Chooser) -> float:
    """How long to wait before the next call, in seconds: what the provider asked for and a little, or full jitter."""
    if asked is not None:
        return asked + choose(min(asked, policy.base))
    return choose(min(policy.most, policy.base * 2.0 ** min(tried, 32)))
