"""What sends would come to, without enqueuing them: how many calls and messages, at what cost, and when."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING

from tuma_producer.contract import backlog, budgets, custody, groups, wire
from tuma_producer.contract.keys import ACCOUNTS, account_keys
from tuma_producer.contract.money import FundsLeft, funds_left
from tuma_producer.contract.suppression import PAGE, members
from tuma_producer.contract.times import moment
from tuma_producer.errors import UnknownAccount
from tuma_producer.results import Estimate
from tuma_producer.senders import is_approved
from tuma_producer.text import Encoding, segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from tuma_producer.contract.backlog import Outlook
    from tuma_producer.contract.steps import Command, ReadSteps
    from tuma_producer.contract.wire import Enqueue
    from tuma_producer.intents import Send
    from tuma_producer.results import PriceFrom, Verdict

_STATE = ("price", "funds", "spent")  # what is read of a queue's
_DISPATCHES = 1000  # of a schedule that are counted


def estimate(sends: Sequence[Send], source: str) -> ReadSteps[Estimate]:
    """What these come to together. Raises `UnknownAccount`, and `InvalidSend` for what its provider cannot keep."""
    accounts = list(dict.fromkeys(send.account for send in sends))
    payers = list(dict.fromkeys((send.account, send.source or source) for send in sends))
    asked = [("HMGET", account_keys(account).budgets, *budgets.fields(payer)) for account, payer in payers]
    known, *told = yield [("SMEMBERS", ACCOUNTS), *(command for name in accounts for command in _terms_of(name)), *asked]
    _check_known(accounts, sorted(name.decode() for name in known))
    of_accounts, of_payers = told[: 3 * len(accounts)], told[3 * len(accounts) :]
    terms_by = {name: _Terms.read(*of_accounts[3 * place : 3 * place + 2]) for place, name in enumerate(accounts)}
    first_by = dict(zip(accounts, of_accounts[2::3], strict=True))
    may_use = dict(zip(payers, of_payers, strict=True))
    pages = [(send, page) for send in sends for page in _pages(send)]
    scores = yield [
        ("ZMSCORE", account_keys(send.account).suppressed, *members(page, first_by[send.account])) for send, page in pages
    ]
    out = {(send.account, one) for (send, page), found in zip(pages, scores, strict=True) for one in _listed(page, found)}
    whom = [_whom(send, out, terms_by[send.account]) for send in sends]
    going = [wire.encode(_only(send, one.called), source) for send, one in zip(sends, whom, strict=True)]
    looks, _ = yield from backlog.look(going)
    each = zip(sends, going, whom, strict=True)
    parts = [_part(*one, terms_by[one[0].account], looks[backlog.Line.of(one[1])]) for one in each]
    return _together(parts, _refusals(parts, may_use))


def _terms_of(account: str) -> Iterator[Command]:
    keys = account_keys(account)
    yield "HMGET", keys.profile, "price", "keeps", "terms", "offsets"
    yield "HMGET", keys.queue("send").state, *_STATE
    yield "ZRANGE", keys.suppressed, "0", "0"


def _check_known(accounts: Iterable[str], known: list[str]) -> None:
    for account in accounts:
        if account not in known:
            raise UnknownAccount(account, tuple(known))


def _pages(send: Send) -> Iterator[list[str]]:
    numbers = iter(dict.fromkeys(send.to))
    return iter(lambda: list(islice(numbers, PAGE)), [])


def _listed(page: Sequence[str], scores: Sequence[float | None]) -> Iterator[str]:
    return (number for place, number in enumerate(page) if any(score is not None for score in scores[place :: len(page)]))


def _only(send: Send, called: list[str]) -> Send:
    """The same to those who would be called; with nobody left as it is, since a send has somebody."""
    return send.model_copy(update={"to": called}) if called else send


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a call through an account costs for each message, who says so, what its provider keeps, and what money is left.

    `offsets` are those of its zone.
    """

    price: tuple[Decimal, str] | None
    price_from: PriceFrom | None
    keeps: str
    approved: Mapping[str, Sequence[str]]
    sender_id: str | None
    offsets: str
    funds: FundsLeft | None

    def may_call(self, send: Send, number: str) -> bool:
        """Whether the send's sender, or the account's, may be shown to the number."""
        return is_approved(self.approved, send.sender_id or self.sender_id, number)

    @classmethod
    def read(cls, profile: Sequence[bytes | None], state: Sequence[bytes | None]) -> _Terms:
        configured, keeps, terms, offsets = profile
        observed = state[0]
        published = json.loads(terms or b"{}")
        price_from: PriceFrom | None = "configured" if configured else "observed" if observed else None
        amount, _, currency = (configured or observed or b"").decode().partition(" ")
        return cls(
            (Decimal(amount), currency) if price_from else None,
            price_from,
            (keeps or b"").decode(),
            published.get("approved", {}),
            published.get("sender_id"),
            (offsets or b"").decode(),
            funds_left({name: value.decode() for name, value in zip(_STATE, state, strict=True) if value is not None}),
        )


@dataclass(frozen=True, slots=True)
class _Whom:
    """Who of a send would be called, how many are suppressed, and to how many its sender may not be shown."""

    called: list[str]
    suppressed: int
    unapproved: int


def _whom(send: Send, out: set[tuple[str, str]], terms: _Terms) -> _Whom:
    numbers = list(dict.fromkeys(send.to))
    wanted = [number for number in numbers if (send.account, number) not in out]
    called = [number for number in wanted if terms.may_call(send, number)]
    return _Whom(called, len(numbers) - len(wanted), len(wanted) - len(called))


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the sends: what would be written for those who would be called, when it fires, and how its line stands."""

    send: Send
    request: Enqueue
    whom: _Whom
    firings: Sequence[datetime]
    terms: _Terms
    look: Outlook

    @property
    def line(self) -> backlog.Line:
        return backlog.Line.of(self.request)

    @property
    def times(self) -> int:
        """How often each recipient is sent to."""
        return 1 if self.send.schedule is None else len(self.firings)

    @property
    def messages(self) -> int:
        return len(self.whom.called) * self.request.segments * self.times


def _part(send: Send, request: Enqueue, whom: _Whom, terms: _Terms, look: Outlook) -> _Part:
    return _Part(send, request, whom, _firings(send, terms, moment(look.now)), terms, look)


def _firings(send: Send, terms: _Terms, now: datetime) -> list[datetime]:
    """When it is still to fire, as far as that is counted; nothing where it is not scheduled."""
    if send.schedule is None:
        return []
    if send.custody == "provider" and terms.keeps:
        return [firing.at for firing in custody.owed(send, custody.Terms.read(terms.keeps), now)]
    return [firing.at for firing in islice(send.schedule.firings(now), _DISPATCHES)]


def _refusals(parts: Iterable[_Part], may_use: Mapping[tuple[str, str], Sequence[bytes | None]]) -> tuple[str, ...]:
    """Which budgets forbid one of them. What fires later counts then, and is not refused."""
    spending: dict[tuple[str, str], budgets.Spending] = {}
    reasons: list[str] = []
    for part in parts:
        account, payer = who = part.send.account, part.request.entry.source
        if who not in spending:
            spending[who] = budgets.Spending(payer, may_use[who], part.terms.offsets, part.look.now)
        if part.send.schedule is None or part.send.custody == "provider":
            over = spending[who].use(len(set(part.send.to)) * part.times, part.request.segments)
            reasons += [f"{account}: {over.why}"] if over else []
    return tuple(dict.fromkeys(reasons))


def _together(parts: Sequence[_Part], refusals: tuple[str, ...]) -> Estimate:
    going = [part for part in parts if part.messages]
    at_once = [part for part in going if part.send.schedule is None]
    expected, verdict, reasons = _when(at_once)
    if not going:
        verdict, reasons = (
            "nobody",
            ("all are suppressed or may not be shown the sender, or none of the times is still to come",),
        )
    elif not at_once:
        expected = min(part.firings[0] for part in going)
    if refusals:
        expected, verdict, reasons = None, "refused", refusals
    cost, currency, price_from = _cost(parts)
    return Estimate(
        recipients=sum(len(set(part.send.to)) for part in parts),
        dropped=sum(len(part.send.to) - len(set(part.send.to)) for part in parts),
        suppressed=sum(part.whom.suppressed for part in parts),
        unapproved=sum(part.whom.unapproved for part in parts),
        encoding=max((segment(part.send.message).encoding for part in parts), key=list(Encoding).index),
        segments=max(part.request.segments for part in parts),
        messages=sum(part.messages for part in parts),
        calls=_calls(going),
        cost=cost,
        currency=currency,
        price_from=price_from,
        expected=expected,
        verdict=verdict,
        reasons=reasons,
    )


def _calls(parts: Iterable[_Part]) -> int:
    """How many calls they fill; what may share one does. What is handed over with its dates takes one call for all of them."""
    recipients: Counter[tuple[backlog.Line, str, int, int]] = Counter()
    for part in parts:
        calls = 1 if part.send.custody == "provider" else part.times
        group = part.request.entry.group
        recipients[part.line, group, groups.most_of(group, part.look.batch_max), calls] += len(part.whom.called)
    return sum(math.ceil(count / most) * calls for (*_, most, calls), count in recipients.items())


def _cost(parts: Iterable[_Part]) -> tuple[Decimal | None, str | None, PriceFrom | None]:
    """What they cost, in which currency, and who says so; None where no price is known, or there are two currencies."""
    priced = [(part.terms.price, part.messages, part.terms.price_from) for part in parts]
    (currency, *others) = {price[1] if price else None for price, _, _ in priced}
    if others or currency is None:
        return None, None, None
    total = sum((price[0] * count for price, count, _ in priced if price), Decimal(0))
    return total, currency, "observed" if any(price_from == "observed" for *_, price_from in priced) else "configured"


def _when(parts: Sequence[_Part]) -> tuple[datetime | None, Verdict, tuple[str, ...]]:
    """When the last of them is called, and what that means."""
    requests = [part.request for part in parts]
    expected: list[int] = []
    waits = list(_too_dear(parts))
    late: list[str] = []
    for place in _last_of_each_line(parts):
        part, send = parts[place], parts[place].send
        at = part.look.expected(part.request, requests[:place])
        if at is None:
            waits.append(f"{send.account}: {part.look.stopped}")
            continue
        expected.append(at)
        if wire.deadline_of(send) and part.look.is_late(send, at):
            deadline = moment(part.look.deadline(send))
            late.append(f"{send.account}: expected at {_shown(moment(at))}, and its deadline is {_shown(deadline)}")
    if waits:
        return None, "waits", tuple(dict.fromkeys([*waits, *late]))
    return moment(max(expected)) if expected else None, "late" if late else "goes", tuple(late)


def _too_dear(parts: Sequence[_Part]) -> Iterator[str]:
    """Of which account bulk would come to what is kept of its money, once all of these are paid."""
    going = [part for part in parts if part.look.stopped is None]
    for account in dict.fromkeys(part.send.account for part in going if part.send.priority == "bulk"):
        asked = [part for part in going if part.send.account == account]
        funds, price = asked[0].terms.funds, asked[0].terms.price
        if funds is None or price is None or price[1] != funds.currency:
            continue
        cost, above = price[0] * sum(part.messages for part in asked), max(Decimal(0), funds.left - funds.kept)
        if cost > above:
            unit = funds.currency
            yield f"{account}: this costs {cost:.2f} {unit}, and bulk waits once {above:.2f} {unit} more is spent"


def _last_of_each_line(parts: Sequence[_Part]) -> Iterable[int]:
    """The places of those that go last, and of those with a deadline: what goes before them goes sooner."""
    return {(part.line, bool(wire.deadline_of(part.send))): place for place, part in enumerate(parts)}.values()


def _shown(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
