"""Pausing, resuming and cancelling: the answer is true, whatever happens around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from tests.redis.driver import NEW_YEAR, Driver, VirtualClock, number, numbers, queue_of, virtual_clock

from tuma_producer import Producer, UnknownIntent
from tuma_producer.contract.wire import LANES
from tuma_worker.core.answers import Rejected, TryLater, Unknown
from tuma_worker.core.states import Evidence
from tuma_worker.core.states import RecipientState as R
from tuma_worker.queue.scripts import Claim, Release, Wait
from tuma_worker.store.moves import Target

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer import ControlResult
    from tuma_producer.results import Verb
    from tuma_worker.core.answers import Answer


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(batch_max=10))


def ask(driver: Driver, verb: Verb, intent: str) -> ControlResult:
    result: ControlResult = getattr(Producer(driver.redis), verb)(f"{driver.queue.account}.{intent}")
    return result


def told(driver: Driver, intent: str) -> list[str]:
    return [event["e"] for event in driver.events() if event.get("i") == intent]


def waiting(driver: Driver) -> int:
    keys = driver.queue.keys
    return sum(driver.redis.zcard(key) for key in (keys.entries, keys.groups, keys.due, *map(keys.sources, range(len(LANES)))))


# --------------------------------------------------------------------------------------------------------------- cancel


def test_what_waits_is_cancelled_whole_and_leaves_nothing_in_the_line(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(3))
    result = ask(driver, "cancel", intent)
    assert (result.outcome, result.stopped, result.with_provider, result.ended) == ("done", tuple(numbers(3)), (), ())
    assert told(driver, intent) == ["accepted", "cancelled", *["cancelled"] * 3, "done"]
    assert waiting(driver) == 0
    assert isinstance(driver.claim(), Wait)
    assert Producer(driver.redis).get(result.id).state == "cancelled"


def test_others_keep_their_places_when_one_of_their_group_is_cancelled(driver: Driver) -> None:
    first, second = (driver.enqueue(number(place), message="The same") for place in (1, 2))
    assert ask(driver, "cancel", first).outcome == "done"
    assert [job.subject for job in driver.taken().jobs] == [f"{second}:{number(2)}"]
    assert waiting(driver) == 0


def test_what_a_worker_has_claimed_but_not_begun_is_still_cancelled(driver: Driver) -> None:
    intent = driver.enqueue(number(1))
    batch = driver.taken()
    assert ask(driver, "cancel", intent).outcome == "done"
    begun = driver.begin(batch)
    assert begun is not None
    assert begun.targets == ()


def test_what_is_being_called_is_with_the_provider_and_the_rest_is_cancelled(redis: Redis) -> None:
    driver = Driver(redis, queue_of(batch_max=1))
    intent = driver.enqueue(*numbers(3))
    driver.begin(driver.taken())
    result = ask(driver, "cancel", intent)
    assert (result.outcome, len(result.stopped), len(result.with_provider)) == ("partly", 2, 1)


def test_a_call_that_the_provider_puts_off_after_the_cancel_is_not_made_again(driver: Driver) -> None:
    intent = driver.enqueue(number(1))
    batch = driver.taken()
    assert driver.begin(batch) is not None
    assert ask(driver, "cancel", intent).outcome == "too-late"
    assert driver.settle(batch, TryLater("503"))
    assert driver.state_of(intent, number(1)) == "cancelled"
    assert driver.redis.zcard(driver.queue.keys.due) == 0


@pytest.mark.parametrize("given_up", [False, True])
def test_news_that_a_withdrawn_one_was_sent_after_all_corrects_the_record(driver: Driver, *, given_up: bool) -> None:
    intent = driver.enqueue(number(1))
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    assert ask(driver, "cancel", intent).with_provider == (number(1),), "its call is under way: nothing is promised"
    if given_up:
        assert driver.settle(batch, Unknown("read-timeout"))
        driver.attempts.resend(batch.batch_id, begun.targets, Evidence.PROVIDER, reason="never-accepted")
    else:
        assert driver.settle(batch, TryLater("503"))
    assert driver.state_of(intent, number(1)) == "cancelled"
    for state, evidence in ((R.SENT, Evidence.OPERATOR), (R.DELIVERED, Evidence.HANDSET)):
        assert driver.attempts.apply(batch.batch_id, begun.targets, state, evidence) == 1
        assert driver.attempts.apply(batch.batch_id, begun.targets, state, evidence) == 0
    mine = [event for event in driver.events() if event.get("i") == intent]
    assert [event["e"] for event in mine][-5:] == ["cancelled", "done", "sent", "delivered", "done"]
    assert [event.get("c") for event in mine][-3:] == ["1", "0", None], "the first is a correction"
    assert [int(event["q"]) for event in mine] == list(range(1, len(mine) + 1))
    again = ask(driver, "cancel", intent)
    assert (again.outcome, again.ended) == ("too-late", (number(1),))


@pytest.mark.parametrize("ready", [False, True], ids=["put off", "ready"])
def test_a_pause_and_a_resume_bring_together_nobody_whom_a_spoiled_call_has_parted(redis: Redis, *, ready: bool) -> None:
    driver = Driver(redis, queue_of(batch_max=4))
    with virtual_clock(redis) as clock:
        intent = driver.enqueue(*numbers(4))
        whole = driver.taken()
        assert driver.begin(whole) is not None
        driver.settle(whole, Rejected("1104", suspect_numbers=True))
        clock.set(int(max(driver.due().values())) * 1000)
        for half in (driver.taken(), driver.taken()):
            assert driver.begin(half) is not None
            driver.settle(half, TryLater("503", after=600.0))
        back = int(max(driver.due().values())) * 1000
        if ready:
            clock.set(back)
            driver.release(driver.taken())
        assert ask(driver, "pause", intent).outcome == "done"
        assert (driver.waiting(), driver.due()) == ([], {}), "none of its jobs is left behind"
        assert ask(driver, "resume", intent).outcome == "done"
        clock.set(back)
        halves = [driver.taken(), driver.taken()]
        assert [len(half.jobs) for half in halves] == [2, 2]
        assert all(begun is not None and len(begun.targets) == 2 for begun in map(driver.begin, halves))
        assert (driver.waiting(), driver.due()) == ([], {})


def test_only_news_of_its_own_last_call_speaks_against_a_withdrawal(driver: Driver) -> None:
    intent = driver.enqueue(number(1))
    first = driver.taken()
    begun = driver.begin(first)
    assert begun is not None
    driver.settle(first, TryLater("503", after=0.0))
    driver.until(next(iter(driver.due().values())) + 1)
    second = driver.taken()
    driver.begin(second)
    driver.settle(second, TryLater("503"))
    assert ask(driver, "cancel", intent).stopped == (number(1),)
    assert driver.attempts.apply(first.batch_id, begun.targets, R.DELIVERED, Evidence.HANDSET) == 0
    assert driver.attempts.apply(second.batch_id, begun.targets, R.UNDELIVERED, Evidence.OPERATOR) == 0, "nothing has come of it"
    assert driver.state_of(intent, number(1)) == "cancelled"
    assert driver.attempts.apply(second.batch_id, begun.targets, R.DELIVERED, Evidence.HANDSET) == 1


def test_what_was_sent_is_told_as_ended_and_stays_as_it_is(driver: Driver) -> None:
    intent = driver.enqueue(number(1))
    batch = driver.taken()
    assert driver.begin(batch) is not None
    assert driver.settle(batch, Rejected("1103"))
    result = ask(driver, "cancel", intent)
    assert (result.outcome, result.ended) == ("too-late", (number(1),))
    assert driver.state_of(intent, number(1)) == "rejected"


def test_a_send_that_is_held_back_can_be_withdrawn_whole_and_goes_when_nobody_does(driver: Driver) -> None:
    with virtual_clock(driver.redis) as clock:
        withdrawn, kept = (driver.enqueue(number(place), message="The same", cancel_within=30) for place in (1, 2))
        assert isinstance(driver.claim(), Wait)
        assert ask(driver, "cancel", withdrawn).outcome == "done"
        clock.forward(30)
        assert [job.subject for job in driver.taken().jobs] == [f"{kept}:{number(2)}"]


def test_a_resumed_send_is_held_back_for_as_long_as_it_was_to_be_withdrawable(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2), cancel_within=60)
    before = driver.due()
    ask(driver, "pause", intent)
    assert driver.due() == {}
    assert ask(driver, "resume", intent).outcome == "done"
    assert driver.due() == before
    assert isinstance(driver.claim(), Wait)
    assert ask(driver, "cancel", intent).outcome == "done"
    assert waiting(driver) == 0


# ------------------------------------------------------------------------------------------------------- pause and resume


def test_what_is_paused_waits_until_it_is_resumed(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2))
    assert ask(driver, "pause", intent).outcome == "done"
    assert Producer(driver.redis).get(f"{driver.queue.account}.{intent}").state == "paused"
    assert isinstance(driver.claim(), Wait)
    assert ask(driver, "resume", intent).outcome == "done"
    assert len(driver.taken().jobs) == 2
    assert told(driver, intent) == ["accepted", "paused", "accepted", "accepted", "resumed", "queued", "queued"]


def test_who_comes_back_from_a_call_during_a_pause_waits_with_the_others(driver: Driver) -> None:
    intent = driver.enqueue(number(1))
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    ask(driver, "pause", intent)
    assert driver.attempts.resend(batch.batch_id, begun.targets, Evidence.PROVIDER, reason="never-accepted") == 0
    assert driver.state_of(intent, number(1)) == "accepted"
    assert waiting(driver) == 0
    ask(driver, "resume", intent)
    assert [job.subject for job in driver.taken().jobs] == [f"{intent}:{number(1)}"]


@pytest.mark.parametrize("paused", ["during the call", "after it"])
def test_a_resume_brings_no_time_forward_that_the_provider_has_set(driver: Driver, paused: str) -> None:
    other, intent = (driver.enqueue(number(place), message="The same") for place in (2, 1))
    batch = driver.taken()
    assert driver.begin(batch) is not None
    if paused == "during the call":
        ask(driver, "pause", intent)
    assert driver.settle(batch, TryLater("503", after=600))
    before = driver.server_ms()
    ask(driver, "pause", intent)
    assert intent not in [subject.partition(":")[0] for subject in driver.due()]
    ask(driver, "resume", intent)
    assert driver.due()[f"{intent}:{number(1)}"] > before + 590_000
    assert driver.waiting() == []
    assert driver.state_of(intent, number(1)) == driver.state_of(other, number(2)) == "queued"


def test_a_resume_brings_no_time_forward_of_those_who_go_on_in_a_narrower_group(driver: Driver) -> None:
    with virtual_clock(driver.redis) as clock:
        intent = driver.enqueue(*numbers(4))
        spoiled = driver.taken()
        driver.begin(spoiled)
        driver.settle(spoiled, Rejected("1104", suspect_numbers=True))
        clock.forward(1)
        half = driver.taken()
        driver.begin(half)
        driver.settle(half, TryLater("503", after=3600))
        put_off = {job.subject for job in half.jobs}
        ask(driver, "pause", intent)
        ask(driver, "resume", intent)
        called = drained(driver, clock, seconds=3500)
        assert (len(called), put_off & set(called)) == (2, set())
        assert set(drained(driver, clock, seconds=200)) == put_off


def test_a_second_job_calls_nobody_before_the_time_that_the_provider_has_set(driver: Driver) -> None:
    with virtual_clock(driver.redis) as clock:
        intent = driver.enqueue(number(1))
        first = driver.taken()
        clock.forward(0.01)
        ask(driver, "pause", intent)
        ask(driver, "resume", intent)
        assert driver.waiting() == [f"{intent}:{number(1)}"], "whoever holds the first may still come to call"
        driver.begin(first)
        driver.settle(first, TryLater("503", after=3600))
        assert drained(driver, clock, seconds=3500) == []
        assert list(driver.due()) == [f"{intent}:{number(1)}"]
        assert drained(driver, clock, seconds=200) == [f"{intent}:{number(1)}"]
        assert waiting(driver) == 0


def drained(driver: Driver, clock: VirtualClock, *, seconds: int) -> list[str]:
    """Whom the provider is called for in that time, in which it accepts everything."""
    called = []
    for _ in range(0, seconds, 100):
        clock.forward(100)
        while isinstance(batch := driver.claim(), Claim):
            begun = driver.begin(batch)
            assert begun is not None
            called += [f"{target.intent}:{target.number}" for target in begun.targets]
            if begun.targets:
                driver.settle(batch)
            else:
                driver.release(batch, Release.DONE)
    return called


def test_a_deadline_ends_what_is_paused(driver: Driver) -> None:
    intent = driver.enqueue(number(1), expires_in=0.05)
    ask(driver, "pause", intent)
    driver.until(driver.server_ms() + 60)
    assert driver.attempts.expire([intent]) == 1
    assert driver.state_of(intent, number(1)) == "expired"


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_is_cancelled_is_neither_paused_nor_resumed(driver: Driver, verb: Verb) -> None:
    intent = driver.enqueue(number(1))
    ask(driver, "cancel", intent)
    before = told(driver, intent)
    assert ask(driver, verb, intent).outcome == "refused"
    assert (told(driver, intent), waiting(driver)) == (before, 0)


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_asking_twice_is_answered_as_the_first_time_and_changes_nothing_more(driver: Driver, verb: Verb) -> None:
    intent = driver.enqueue(*numbers(2))
    if verb == "resume":
        ask(driver, "pause", intent)
    first = ask(driver, verb, intent)
    after = told(driver, intent)
    assert ask(driver, verb, intent) == first
    assert told(driver, intent) == after


@pytest.mark.parametrize("unknown", ["lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e", "no-id"])
@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_an_intent_that_is_not_there_is_said_so(redis: Redis, verb: str, unknown: str) -> None:
    with pytest.raises(UnknownIntent):
        getattr(Producer(redis), verb)(unknown)


# --------------------------------------------------------------------------------------------------------- in any order


AT_ONCE, IN_A_WHILE = TryLater("503", after=0.0), TryLater("503", after=30.0)
SPOILED = Rejected("1104", suspect_numbers=True)  # of several, each half is tried by itself


class AnyOrder(RuleBasedStateMachine):
    """A worker that claims, begins and settles as it likes, while somebody pauses, resumes and cancels."""

    redis: Redis  # set by the test
    clock: VirtualClock  # a history that is told again must see the same times

    @initialize()
    def begin_anew(self) -> None:
        self.redis.flushall()
        self.clock.set(NEW_YEAR * 1000)
        self.driver = Driver(self.redis, queue_of(batch_max=2, lease=1_000_000.0))
        self.claimed: list[Claim] = []
        self.calling: list[Claim] = []
        self.called: dict[str, tuple[Target, ...]] = {}  # by their batch
        self.intents: list[str] = []
        self.promised: dict[Target, str] = {}  # what the last answer said of a recipient: stopped by cancel or pause
        self.put_off: dict[Target, int] = {}  # until when the provider wants none of them, in Unix milliseconds

    @rule(count=st.integers(1, 3), same=st.booleans())
    def enqueue(self, count: int, same: bool) -> None:  # noqa: FBT001 - hypothesis calls it by keyword
        to = [number(10 * len(self.intents) + place) for place in range(count)]
        self.clock.forward(0.001)
        self.intents.append(self.driver.enqueue(*to, **({"message": "The same"} if same else {})))

    @rule()
    def claim(self) -> None:
        found = self.driver.claim()
        if isinstance(found, Claim) and found.actor == "send":
            self.claimed.append(found)

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        batch = self.claimed.pop(data.draw(st.integers(0, len(self.claimed) - 1)))
        begun = self.driver.begin(batch)
        assert begun is not None
        called = set(begun.targets)
        assert called.isdisjoint(self.promised), "a call for somebody of whom it was said that there will be none"
        assert called.isdisjoint(self._early()), "a call for somebody whose time has not come"
        if begun.targets:
            self.calling.append(batch)
            self.called[batch.batch_id] = begun.targets
        else:
            self.driver.release(batch, Release.DONE)

    @precondition(lambda self: self.calling)
    @rule(data=st.data(), answer=st.sampled_from([None, AT_ONCE, IN_A_WHILE, SPOILED, Rejected("1103"), Unknown("read-timeout")]))
    def settle(self, data: st.DataObject, answer: Answer | None) -> None:
        batch = self.calling.pop(data.draw(st.integers(0, len(self.calling) - 1)))
        assert self.driver.settle(batch, answer)
        if answer is IN_A_WHILE:
            self.put_off |= dict.fromkeys(self.called[batch.batch_id], self.clock.ms + 30_000)

    @rule(seconds=st.sampled_from([0.01, 40.0]))
    def wait(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @precondition(lambda self: self.intents)
    @rule(data=st.data(), verb=st.sampled_from(["cancel", "pause", "resume"]))
    def control(self, data: st.DataObject, verb: Verb) -> None:
        intent = data.draw(st.sampled_from(self.intents))
        result = ask(self.driver, verb, intent)
        states = {one.number: one.state for one in Producer(self.redis).get(result.id).recipients}
        assert sorted([*result.stopped, *result.with_provider, *result.ended]) == sorted(states)
        if verb == "resume":
            for of in [target for target, said in self.promised.items() if target.intent == intent and said == "pause"]:
                del self.promised[of]
        else:
            self.promised |= dict.fromkeys((Target(intent, stopped) for stopped in result.stopped), verb)

    @invariant()
    def every_waiting_recipient_has_a_job_and_every_job_a_place(self) -> None:
        if not hasattr(self, "driver"):
            return
        keys, redis = self.driver.queue.keys, self.redis
        due = self.driver.due()
        jobs = {*self.driver.waiting(), *due, *self._subjects([*self.claimed, *self.calling])}
        for intent in self.intents:
            for name, packed in self._record(intent).items():
                subject = f"{intent}:{name}"
                if packed.startswith("queued"):
                    assert subject in (due if Target(intent, name) in self._early() else jobs)
        ready: Any = redis.zrange(keys.entries, 0, -1)
        groups = {tuple(line.split(b"|")[:3]) for line in ready}
        placed: Any = redis.zrange(keys.groups, 0, -1)
        assert {(lane, source, group) for lane, source, _, group in (line.split(b"|") for line in placed)} == groups
        sources = {(lane, name) for lane in range(len(LANES)) for name in redis.zrange(keys.sources(lane), 0, -1)}
        assert {(int(lane), source) for lane, source, _ in groups} == sources

    def _early(self) -> set[Target]:
        return {target for target, until in self.put_off.items() if until > self.clock.ms}

    def _subjects(self, batches: list[Claim]) -> set[str]:
        return {job.subject for batch in batches for job in batch.jobs}

    def _record(self, intent: str) -> dict[str, str]:
        raw: Any = self.redis.hgetall(self.driver.account.intent(intent))
        return {name.decode(): value.decode() for name, value in raw.items() if name.startswith(b"+")}


def test_no_answer_is_ever_untrue_whatever_the_order(redis: Redis) -> None:
    with virtual_clock(redis) as clock:
        AnyOrder.redis, AnyOrder.clock = redis, clock
        run_state_machine_as_test(
            AnyOrder,
            settings=settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[*HealthCheck]),
        )
