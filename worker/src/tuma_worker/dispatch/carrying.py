"""Failover: what waits at an account that does not work goes by another, and what becomes of it there is told at home.

Each step is one script, and what it leaves behind says what the next one is; so any process may die between any two of them, and
whoever looks next goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from tuma_producer.contract.groups import is_loud, segments_of
from tuma_producer.contract.ids import full_id, home_of
from tuma_producer.contract.times import moment
from tuma_producer.contract.wire import LANES
from tuma_worker.core.failover import ANY_PROOF, SOON, UNSENT, Cargo, Carrier, carrier_for, look_again, may_leave
from tuma_worker.logs import Event
from tuma_worker.rounds import one_by_one
from tuma_worker.store import accounts
from tuma_worker.store.carried import news_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from threading import Event as Signal

    from tuma_worker.core.next_step import Untaken
    from tuma_worker.store.carried import Carried, Plan, PlanStanding, Waiting

_log = structlog.get_logger(__name__)

_CALM = 10  # thousands of accounts are looked at by every worker
_AT_ONCE = 500  # plans that one look makes: whom it tells of must not wait for all that leave


@dataclass
class Moved:
    """What one look at an account came to, and whether it was `stopped`.

    `carried` recipients left it by `plans` plans, counted by the account that carries them; `handed_back` ones, which it carried
    itself, left it for their home; `told` is how many moved at home by news from elsewhere. `calm` is true where there is
    nothing to look after, `looked` false where another process does it just now.
    """

    account: str
    looked: bool = True
    calm: bool = False
    stopped: bool = False
    carried: Counter[str] = field(default_factory=Counter)
    handed_back: int = 0
    told: int = 0
    plans: int = 0

    @property
    def busy(self) -> bool:
        """Whether it did anything."""
        return bool(self.carried or self.handed_back or self.told)


@dataclass(frozen=True, slots=True)
class Mover:
    """Looks after the failover of some accounts in the name of `worker`, every `every` seconds; in calm, much less often.

    Where there is something to do for an account, one of all workers does it. A look at a stopped account that moved nobody, since
    nobody can carry those that wait, is followed by a rest of nine times its length: it must not keep the server busy.
    """

    accounts: Sequence[Carried]
    worker: str
    every: float
    clock: Callable[[], float]

    def keep_moving(self, stop: Signal) -> None:
        """Look again and again until told to stop, and say what was moved."""
        rest = self.every
        while not stop.wait(rest):
            began = self.clock()
            moved = self.run_once()
            rest = self._rest(moved, took=self.clock() - began)
            for one in moved:
                _say(one)

    def _rest(self, moved: Sequence[Moved], *, took: float) -> float:
        """Seconds until the next look."""
        if len(moved) == len(self.accounts) and all(one.calm for one in moved):
            return _CALM * self.every
        if any(one.stopped for one in moved) and not any(one.busy for one in moved):
            return max(self.every, 9 * took)
        return self.every

    def run_once(self) -> list[Moved]:
        """Look at each account once. An account where that failed is left out."""
        return list(one_by_one(self.accounts, _account, self._look_after, Event.MOVE_FAILED))

    def _look_after(self, carried: Carried) -> Moved:
        account = carried.queue.account
        stopped, plans = carried.look()
        if not stopped and not plans:
            return Moved(account, calm=True)  # nearly always: it must cost next to nothing
        # The lead outlasts a look that takes its time. Two that look at once do no harm, only work.
        if not carried.lead(self.worker, self.every * 3 + 3):
            return Moved(account, looked=False)
        moved = Moved(account, stopped=stopped)
        if stopped:
            _clear(carried, moved)
        for plan in plans:
            moved.told += follow(carried, plan)
        return moved


def _say(moved: Moved) -> None:
    for account, recipients in sorted(moved.carried.items()):
        _log.warning(Event.DELIVERY_CARRIED, account=moved.account, by=account, recipients=recipients)
    if moved.handed_back:
        _log.warning(Event.DELIVERY_HANDED_BACK, account=moved.account, recipients=moved.handed_back)


def _clear(carried: Carried, moved: Moved) -> None:
    """Let leave who may, higher lanes first; the next look goes on, with those of them that have come meanwhile."""
    known: dict[tuple[str, int, str], Carrier | None] = {}
    environment, at = carried.environment(), moment(carried.now())
    for waiting in carried.waiting():
        if moved.plans >= _AT_ONCE:
            return
        record = carried.record(waiting.short_id)
        returns = home_of(full_id(carried.queue.account, waiting.short_id)) is not None
        # Should a refused call turn out to have been taken, who is carried is withdrawn; who has gone home is out of reach.
        numbers = _certain(carried, waiting, record, UNSENT if returns else ANY_PROOF)
        if not numbers:
            continue
        if returns:
            moved.handed_back += carried.hand_back(waiting, record, numbers)
            continue
        body = json.loads(record["body"])
        carriers = [_carrier(carried, known, name, waiting) for name in body.get("failover", ())]
        segments, loud = segments_of(waiting.group), is_loud(waiting.group)
        cargo = Cargo(LANES[waiting.lane], body.get("sender_id"), environment, segments, at, loud)
        # Whom home would not call now waits in its line like others: a halted account does not sort by the hour.
        awake = [number for number in numbers if not cargo.disturbs(number, carried.queue.quiet)]
        _carry(carried, waiting, record, _shared_out(awake, cargo, [one for one in carriers if one is not None]), moved)


def _certain(carried: Carried, waiting: Waiting, record: Mapping[str, str], proofs: frozenset[Untaken]) -> list[str]:
    """Those who still wait and of whom one of these proofs says that no call for them was taken."""
    numbers = sorted(number for number in waiting.times if record.get(number, "").startswith("queued"))
    tried = frozenset(number for number in numbers if record[number] != "queued")
    calls = carried.calls(waiting.short_id, record, sorted(tried)) if tried else []
    return sorted(may_leave(numbers, tried, calls, proofs))


def _account(carried: Carried) -> str:
    return carried.queue.account


def _carrier(carried: Carried, known: dict[tuple[str, int, str], Carrier | None], name: str, waiting: Waiting) -> Carrier | None:
    """How an account stands, asked once in a look."""
    key = (name, waiting.lane, waiting.source)
    if key not in known:
        known[key] = accounts.carrier(carried.redis, name, lane=waiting.lane, source=waiting.source)
    return known[key]


def _shared_out(numbers: Sequence[str], cargo: Cargo, carriers: Sequence[Carrier]) -> dict[tuple[str, bool], list[str]]:
    """Who is carried by which account, and whether under its own sender."""
    shares: dict[tuple[str, bool], list[str]] = {}
    for number in numbers:
        if (carrier := carrier_for(number, cargo, carriers)) is not None:
            shares.setdefault((carrier.account, not carrier.terms.may_show(cargo.sender)), []).append(number)
    return shares


def _carry(
    carried: Carried, waiting: Waiting, record: dict[str, str], shares: Mapping[tuple[str, bool], list[str]], moved: Moved
) -> None:
    for (account, own_sender), numbers in shares.items():
        plan = carried.carry(waiting, record, account, numbers, own_sender=own_sender)
        if plan is not None:
            record |= carried.record(waiting.short_id)
            standing = carried.load(plan)
            moved.plans += 1
            moved.carried[account] += len(standing.home)
            _write(carried, standing)


def follow(carried: Carried, plan: Plan) -> int:
    """Go on with a plan from where it stands. Returns how many recipients moved at home."""
    standing = carried.load(plan)
    if not standing.state:
        return carried.relay(standing, {}, None)
    if standing.unwritten and standing.gone:
        _write(carried, standing)
        return 0
    if standing.gone:
        standing = carried.load(plan)  # somebody else may have written it between the two looks of the first
    if standing.held == "cancelled" and standing.held_there != "cancelled" and not standing.gone:
        carried.cancel(plan)  # whoever cancelled it at home may have died before they came here
        standing = carried.load(plan)
    if standing.taken_at_home:
        carried.withdraw(plan, standing.taken_at_home)
        standing = carried.load(plan)
    silence = max(0.0, (carried.now() - standing.last_news) / 1000)
    return carried.relay(standing, news_of(standing), look_again(standing.states_there, silence))


def _write(carried: Carried, standing: PlanStanding) -> None:
    """Write the other account's intent; where that must or can not be, see to it that nobody ever does."""
    if standing.held or not standing.to_carry or not carried.write(standing):
        carried.cancel(standing.plan)
    # Killed here, it has been written, and whoever finds the plan finds that as well.
    carried.relay(standing, {}, SOON)
