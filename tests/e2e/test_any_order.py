"""Time in any order: whatever is asked about sends for now, for later and for the provider to keep, the answers are true.

A worker is led step by step through real scripts and real calls to the real sandbox, while somebody pauses, resumes, cancels and
edits, also in the middle of a call. Both clocks, Redis's and the provider's, are the test's. What the sandbox's ledger has is the
truth that every answer is held against.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from structlog.testing import capture_logs
from tests.e2e.led import ACCOUNT, VERBS, World, open_world
from tests.redis.driver import number

from tuma_producer import At, Send
from tuma_worker.queue.scripts import Release, release

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuma_producer import ControlResult, Intent
    from tuma_producer.results import Verb
    from tuma_worker.queue.leases import Held

CAMPAIGN = "spring"
KINDS = ("accept_then_reset", "reset_before_reading", "refuse_503")
TROUBLE = [(operation, kind) for operation in ("send", *VERBS) for kind in KINDS]
MOST = 6  # sends of a history: more would seldom be asked about twice
LONG = "TUMA_TEST_LONG" in os.environ
EXAMPLES, STEPS = (600, 40) if LONG else (20, 24)


@dataclass
class Asked:
    """What the test knows of a send: to whom, when, kept by whom, and what was promised about it.

    `free` is false from the first verb or edit on that might leave dates out. `promised` are recipients of whom it was said that
    they are not sent to, by which verb, and how often they had been by then; `frozen` is the same of all that comes of it.
    `resumed` is when it was last said that a schedule goes on, and how many dispatches there had been.
    """

    id: str
    to: tuple[str, ...]
    name: str
    dates: tuple[int, ...] = ()
    custody: str = "worker"
    campaign: bool = False
    free: bool = True
    promised: dict[str, tuple[Verb, int]] = field(default_factory=dict)
    frozen: tuple[Verb, int] | None = None
    resumed: tuple[float, int] | None = None


class AnyOrder(RuleBasedStateMachine):
    """Somebody who asks for things, a worker that does them, time that passes, and a provider that has bad days."""

    world: World  # set by the test

    @initialize()
    def begin_anew(self) -> None:
        self.world.anew()
        self.asked: dict[str, Asked] = {}
        self.held: list[Held] = []
        self.names = 0
        self.campaign_is_paused = False  # what arrives under its name then arrives paused

    # ------------------------------------------------------------------------------------------------------------- asking

    def _enqueue(self, count: int, *, campaign: bool, dates: Sequence[int] = (), **more: Any) -> None:  # noqa: ANN401 - fields of Send
        self.world.clock.forward(0.001)
        self.names += 1
        name, to = f"m{self.names}:", tuple(number(10 * self.names + place) for place in range(count))
        if dates:
            times = [datetime.fromtimestamp(at, UTC) for at in dates]
            more["schedule"] = At(times=times) if more.get("custody") == "provider" else At(times=times, misfire="all")
        label = {"campaign_name": CAMPAIGN} if campaign else {}
        receipt = self.world.producer.enqueue(Send(account=ACCOUNT, to=list(to), message=name, **label, **more))
        self.asked[receipt.id] = Asked(receipt.id, to, name, tuple(dates), more.get("custody", "worker"), campaign)
        self.asked[receipt.id].free = not (campaign and self.campaign_is_paused)

    def _minutes(self, ahead: Sequence[int]) -> list[int]:
        now = datetime.fromtimestamp(self.world.clock.now / 1_000_000, UTC).replace(second=0, microsecond=0)
        return [int((now + timedelta(minutes=one)).timestamp()) for one in sorted(set(ahead))]

    @precondition(lambda self: self.names < MOST)
    @rule(count=st.integers(1, 2), campaign=st.booleans(), cancel_within=st.sampled_from([None, 30]))
    def send_now(self, count: int, campaign: bool, cancel_within: float | None) -> None:  # noqa: FBT001 - hypothesis calls it by keyword
        self._enqueue(count, campaign=campaign, cancel_within=cancel_within)

    @precondition(lambda self: self.names < MOST)
    @rule(ahead=st.lists(st.integers(1, 6), min_size=1, max_size=3), campaign=st.booleans())
    def send_at(self, ahead: list[int], campaign: bool) -> None:  # noqa: FBT001
        self._enqueue(1, campaign=campaign, dates=self._minutes(ahead))

    @precondition(lambda self: self.names < MOST)
    @rule(ahead=st.lists(st.integers(1, 6), min_size=1, max_size=3), campaign=st.booleans())
    def let_the_provider_send_at(self, ahead: list[int], campaign: bool) -> None:  # noqa: FBT001
        self._enqueue(1, campaign=campaign, dates=self._minutes(ahead), custody="provider")

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), verb=st.sampled_from(VERBS))
    def ask(self, data: st.DataObject, verb: Verb) -> None:
        self._ask(data.draw(st.sampled_from(list(self.asked))), verb)

    def _ask(self, intent_id: str, verb: Verb) -> ControlResult:
        result: ControlResult = getattr(self.world.producer, verb)(intent_id)
        self._note(self.asked[intent_id], verb, result)
        self._adopt_children()
        return result

    @precondition(lambda self: any(one.campaign for one in self.asked.values()))
    @rule(verb=st.sampled_from(VERBS))
    def ask_of_the_campaign(self, verb: Verb) -> None:
        found = getattr(self.world.producer, f"{verb}_campaign")(ACCOUNT, CAMPAIGN)
        assert found.outcome in {"done", "partly", "too-late", "refused", "requested", "unsupported", "unknown"}
        self.campaign_is_paused = verb == "pause" or (verb == "cancel" and self.campaign_is_paused)
        # What became of each of them is told by asking again, which changes nothing where it holds.
        for asked in [one for one in self.asked.values() if one.campaign]:
            self._note(asked, verb, getattr(self.world.producer, verb)(asked.id))
        self._adopt_children()

    @precondition(lambda self: any(one.dates and one.custody == "worker" for one in self.asked.values()))
    @rule(data=st.data(), ahead=st.none() | st.lists(st.integers(1, 6), min_size=1, max_size=3))
    def edit(self, data: st.DataObject, ahead: list[int] | None) -> None:
        asked = self.asked[
            data.draw(st.sampled_from([one.id for one in self.asked.values() if one.dates and one.custody == "worker"]))
        ]
        intent = self.world.get(asked.id)
        if intent.state not in {"scheduled", "paused"}:
            return
        self.world.clock.forward(0.001)
        if ahead is None:
            self.world.producer.edit(asked.id, message=f"{asked.name}again")
            return
        dates = self._minutes(ahead)
        self.world.producer.edit(asked.id, schedule=At(times=[datetime.fromtimestamp(at, UTC) for at in dates], misfire="all"))
        asked.dates, asked.free, asked.resumed = tuple(dates), False, None

    # ------------------------------------------------------------------------------------------------------------- working

    @rule(place=st.integers(0, 2))
    def claim(self, place: int) -> None:
        held = self.world.claim(self.world.queues[place])
        if held is not None:
            self.held.append(held)

    @rule(place=st.integers(0, 2), verb=st.sampled_from(VERBS))
    def ask_between_claim_and_call(self, place: int, verb: Verb) -> None:
        held = self.world.claim(self.world.queues[place])
        if held is None:
            return
        self.held.append(held)
        for intent_id in self._about(held):
            self._ask(intent_id, verb)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def pause_and_resume(self, data: st.DataObject) -> None:
        intent_id = data.draw(st.sampled_from(list(self.asked)))
        self._ask(intent_id, "pause")
        self._ask(intent_id, "resume")

    @precondition(lambda self: self.held)
    @rule(data=st.data(), verb=st.none() | st.sampled_from(VERBS), trouble=st.none() | st.sampled_from(KINDS))
    def work(self, data: st.DataObject, verb: Verb | None, trouble: str | None) -> None:
        """Do what was claimed; perhaps somebody asks for a verb, mostly about this very send, while its call is under way."""
        held = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if trouble is not None and held.claim.actor == "send":
            self.order_trouble(("send", trouble))
        if verb is not None:
            of = data.draw(st.sampled_from(self._about(held) or list(self.asked)))
            self.world.provider.meanwhile = self.world.custodian.meanwhile = lambda: self._ask(of, verb)
        self.world.work(held)
        self.world.provider.meanwhile = self.world.custodian.meanwhile = lambda: None
        self._adopt_children()
        self._keep_promises()

    @precondition(lambda self: self.names < MOST)
    @rule(verb=st.sampled_from(("pause", "cancel")))
    def ask_while_a_call_is_put_off(self, verb: Verb) -> None:
        """Whoever comes back from a call finds what was asked meanwhile."""
        self.work_off()
        self._enqueue(1, campaign=False)
        asked = list(self.asked)[-1]
        self.world.sandbox.disarm()
        self.order_trouble(("send", "refuse_503"))
        self.world.provider.meanwhile = lambda: self._ask(asked, verb)
        self.work_off()
        self.world.provider.meanwhile = lambda: None

    @precondition(lambda self: self.names < MOST)
    @rule(verb=st.sampled_from(("pause", "cancel")))
    def ask_while_a_date_is_in_hand(self, verb: Verb) -> None:
        """A worker that has claimed what is due finds it held."""
        self.work_off()
        self._enqueue(1, campaign=False, dates=self._minutes([1]))
        self.world.forward(60)
        self.ask_between_claim_and_call(0, verb)
        self._work_on()

    def _about(self, held: Held) -> list[str]:
        """The sends that a claimed batch is about."""
        self._adopt_children()
        intents = [f"{ACCOUNT}.{job.subject.partition(':')[0]}" for job in held.claim.jobs]
        return [one for one in dict.fromkeys(intents) if one in self.asked]

    @precondition(lambda self: any(one.custody == "provider" for one in self.asked.values()))
    @rule(data=st.data(), verb=st.sampled_from(VERBS), trouble=st.none() | st.sampled_from(KINDS))
    def ask_until_the_provider_has_answered(self, data: st.DataObject, verb: Verb, trouble: str | None) -> None:
        kept = data.draw(st.sampled_from([one.id for one in self.asked.values() if one.custody == "provider"]))
        self.work_off()
        if trouble is not None:
            self.order_trouble((verb, trouble))
        self._ask(kept, verb)
        self.work_off()
        self._ask(kept, verb)

    @precondition(lambda self: self.names < MOST)
    @rule(verb=st.sampled_from(("pause", "cancel")))
    def ask_while_the_provider_is_away(self, verb: Verb) -> None:
        """A verb that was not taken is asked for again, until it has been answered."""
        self.world.sandbox.disarm()
        self._enqueue(1, campaign=False, dates=self._minutes([6]), custody="provider")
        asked = list(self.asked)[-1]
        self.work_off()
        self.order_trouble((verb, "refuse_503"))
        self._ask(asked, verb)
        self.work_off()
        self.let_time_pass(60)
        self.work_off()
        assert self._ask(asked, verb).outcome == "done"

    @rule()
    def work_off(self) -> None:
        self._let_go()
        self.world.work_off()
        self._adopt_children()
        self._keep_promises()

    @rule(seconds=st.sampled_from([20, 60, 140]))
    def let_time_pass(self, seconds: int) -> None:
        self.world.forward(seconds)
        self._keep_promises()

    @rule(trouble=st.sampled_from(TROUBLE))
    def order_trouble(self, trouble: tuple[str, str]) -> None:
        operation, kind = trouble
        self.world.sandbox.arm(kind, provider="lisoloo", operation=operation)

    def _work_on(self) -> None:
        while self.held:
            self.world.work(self.held.pop())
        self._adopt_children()
        self._keep_promises()

    def _let_go(self) -> None:
        for held in self.held:
            release(self.world.redis, held.queue, held.claim.batch_id, Release.BACK)
        self.held.clear()

    # ---------------------------------------------------------------------------------------------------------- promises

    def _adopt_children(self) -> None:
        """An occurrence that has fired may be asked about like any send."""
        for asked in [one for one in self.asked.values() if one.dates and one.custody == "worker"]:
            for child in self.world.children(asked.id):
                self.asked.setdefault(child, Asked(child, asked.to, f"{asked.name}/"))

    def _note(self, asked: Asked, verb: Verb, result: ControlResult) -> None:
        """Keep what an answer promises."""
        holds = result.outcome in {"done", "partly"}
        if verb == "resume":
            for one in [asked, *self._children(asked)] if result.outcome != "refused" else []:
                one.promised = {to: said for to, said in one.promised.items() if said[0] == "cancel"}
                one.frozen = one.frozen if one.frozen and one.frozen[0] == "cancel" else None
            asked.resumed = (self.world.clock.now / 1_000_000, self._gone(asked)) if holds and asked.dates else None
            return
        asked.free, asked.resumed = False, None
        if not asked.dates:
            self._promise(asked, verb, result.stopped)
        if (holds or not asked.dates) and (asked.frozen is None or asked.frozen[0] != "cancel"):
            asked.frozen = (verb, self._gone(asked))
        if asked.dates and result.outcome == "done":  # nothing more comes of it
            for child in self._children(asked):
                self._promise(child, verb, child.to)

    def _promise(self, asked: Asked, verb: Verb, stopped: Sequence[str]) -> None:
        for to in stopped:
            if to not in asked.promised or asked.promised[to][0] != "cancel":
                asked.promised[to] = (verb, self._copies(asked, to))

    def _children(self, asked: Asked) -> list[Asked]:
        self._adopt_children()
        return [one for one in self.asked.values() if one.name == f"{asked.name}/"]

    def _gone(self, asked: Asked) -> int:
        """How many occurrences of a schedule fired, how often the provider sent, or how many calls a single send has had."""
        if not asked.dates:
            return len(self.world.get(asked.id).attempts)
        if asked.custody == "worker":
            return len(self.world.children(asked.id))
        dispatches = self.world.sandbox.books()["dispatches"]
        return sum(len(one["recipients"]) for one in dispatches if one["message"] == asked.name)

    def _copies(self, asked: Asked, to: str) -> int:
        """How often a number was called for this very intent: the address for its receipts says which attempt a call was."""
        batches = {one.id for one in self.world.get(asked.id).attempts}
        accepted = self.world.sandbox.books()["accepted"]
        return sum(to in one["recipients"] for one in accepted if _batch_of(one) in batches)

    def _keep_promises(self) -> None:
        for asked in self.asked.values():
            for to, (verb, copies) in asked.promised.items():
                assert self._copies(asked, to) == copies, (asked, to, verb)
            if asked.frozen is not None:
                assert self._gone(asked) == asked.frozen[1], asked

    # ------------------------------------------------------------------------------------------------------------- in the end

    def teardown(self) -> None:
        if not hasattr(self, "asked"):
            return
        self.world.sandbox.disarm()
        self._let_go()
        for _ in range(14):  # past all dates, all searches for evidence and all waits
            self.world.work_off()
            self._adopt_children()
            self._keep_promises()
            self.world.forward(60)
        for asked in self.asked.values():
            self._agree(asked, self.world.get(asked.id))

    def _agree(self, asked: Asked, intent: Intent) -> None:
        """What we say of it is what the provider's ledger has."""
        if asked.dates:
            self._agree_on_dates(asked, intent)
            return
        for one in intent.recipients:
            copies = self._copies(asked, one.number)
            if one.state == "submitted":
                assert copies == 1, (asked, one)
            elif one.state == "unknown":
                assert copies <= 1, (asked, one)
            elif one.reason == "worker-died":
                assert copies == 0, (asked, one)
            else:
                assert copies == 0, (asked, one)
                assert one.state == ("cancelled" if intent.state != "paused" else "accepted"), (asked, one)

    def _agree_on_dates(self, asked: Asked, intent: Intent) -> None:
        gone, each = self._gone(asked), 1
        if intent.custody is not None:
            each = len(asked.to)
            if intent.custody.state == "not-handed-over":  # in time, that is: or withdrawn before
                assert {one.state for one in intent.recipients} <= {"expired", "cancelled"}
                assert gone == 0, asked
                return
            if intent.custody.state == "unknown-at-provider":
                return
        if asked.free:
            assert gone == len(asked.dates) * each, asked
        if asked.resumed is not None:
            since, before = asked.resumed
            assert gone - before >= sum(at > since for at in asked.dates) * each, asked


def _batch_of(call: dict[str, Any]) -> str:
    return str(call["callback_url"]).rpartition("/")[2].partition(".")[0]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with open_world() as found:
        yield found


def test_no_answer_is_untrue_no_promise_broken_and_the_ledger_agrees_with_all_of_it(world: World) -> None:
    AnyOrder.world = world
    lengths = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if LONG else [])],
    )
    with capture_logs():
        run_state_machine_as_test(AnyOrder, settings=lengths)
