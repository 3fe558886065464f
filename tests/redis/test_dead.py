"""Dead letters: in the index from the step in which they die to the one in which they leave, and sent again once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.acts import dead_letter, redriver
from tests.redis.driver import NEW_YEAR, Driver, number, numbers, queue_of, target_of, virtual_clock
from tests.support.producers import configure

from tuma_producer import Event, Producer
from tuma_producer.contract.reading import record_texts
from tuma_producer.contract.wire import RETENTION_MS
from tuma_worker.core.answers import Rejected, TryLater
from tuma_worker.core.dead import DeadClass
from tuma_worker.core.next_step import Move, NextStep, Permit
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.redriving import LATE, Redriven
from tuma_worker.store import dead
from tuma_worker.store.dead import Choice, DeadLetters, Leaving, LetterFilter
from tuma_worker.store.moves import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from tuma_worker.core.answers import Answer
    from tuma_worker.store.dead import Letter

OTHER = "lineserve-main"
SAME = Choice("lisoloo-main")


@pytest.fixture
def driver(redis: Redis) -> Driver:
    configure(redis, OTHER)
    return Driver(redis, queue_of(batch_max=100))


class Killed(BaseException):
    """A process that ends between two lines."""


def redrive(driver: Driver, letters: DeadLetters, found: Sequence[Letter], choice: Choice = SAME) -> Redriven:
    done = Redriven()
    redriver(driver, letters).redrive(found, choice, done)
    return done


def killed_before_the_letters_leave(
    driver: Driver, letters: DeadLetters, found: Sequence[Letter], choice: Choice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(DeadLetters, "redriven", die)
        with pytest.raises(Killed):
            redrive(driver, letters, found, choice)


def intents(driver: Driver, account: str = "lisoloo-main") -> set[bytes]:
    found: Any = driver.redis.keys(f"tuma:{{{account}}}:intent:*")
    return set(found)


# ------------------------------------------------------------------------------------------------------------- the index


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Rejected("1103"), "rejected"),
        (NextStep("refused", "503", Permit.ENDED, Move(RecipientState.FAILED, reason="503")), "exhausted"),
    ],
    ids=["rejected", "exhausted"],
)
def test_who_dies_of_an_answer_is_in_the_index_from_the_same_step_on(driver: Driver, answer: Answer | NextStep, kind: str) -> None:
    intent = driver.enqueue(*numbers(3))
    batch = driver.taken()
    driver.begin(batch)
    letters = DeadLetters(driver.redis, "lisoloo-main")
    assert letters.counts() == {}
    driver.settle(batch, answer)
    assert letters.counts() == {kind: 3}
    assert [one.number for one in letters.of_intent(intent)] == numbers(3)
    before = driver.snapshot()
    driver.settle(batch, answer)
    assert driver.snapshot() == before


@pytest.mark.parametrize(
    ("state", "reason", "kind"),
    [(RecipientState.FAILED, "worker-died", "worker-died"), (RecipientState.REJECTED, "over-limit", "over-limit")],
)
def test_who_is_ended_by_us_is_in_the_index(driver: Driver, state: RecipientState, reason: str, kind: str) -> None:
    intent = driver.enqueue()
    driver.attempts.end([target_of(f"{intent}:{number(0)}")], state, reason=reason)
    assert DeadLetters(driver.redis, "lisoloo-main").counts() == {kind: 1}


def test_a_message_that_does_not_die_never_touches_the_index(driver: Driver) -> None:
    driver.enqueue(number(1))
    driver.send()
    driver.enqueue(number(2))
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, TryLater("503"))
    assert driver.redis.exists(driver.account.dead) == 0


def test_what_the_operator_reports_is_no_dead_letter_and_a_correction_takes_an_unknown_one_out(driver: Driver) -> None:
    driver.enqueue(*numbers(2))
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    letters = DeadLetters(driver.redis, "lisoloo-main")
    driver.attempts.apply(batch.batch_id, begun.targets, RecipientState.UNKNOWN, Evidence.ASSUMED, reason="unanswered")
    assert letters.counts() == {"unknown": 2}
    driver.attempts.apply(batch.batch_id, begun.targets[:1], RecipientState.DELIVERED, Evidence.HANDSET)
    driver.attempts.apply(batch.batch_id, begun.targets[1:], RecipientState.FAILED, Evidence.OPERATOR)
    assert (letters.counts(), letters.size()) == ({}, 0)


def test_the_index_forgets_with_the_records_when_others_die_and_at_last_altogether(driver: Driver) -> None:
    with virtual_clock(driver.redis) as clock:
        _, old = dead_letter(driver)
        assert driver.redis.zscore(driver.account.dead, f"{old}:{number(0)}") == NEW_YEAR
        clock.forward(RETENTION_MS / 1000 + 1)
        _, new = dead_letter(driver)
        found: Any = driver.redis.zrange(driver.account.dead, 0, -1)
    assert found == [f"{new}:{number(0)}".encode()]
    assert 0 < driver.redis.pttl(driver.account.dead) <= RETENTION_MS


# --------------------------------------------------------------------------------------------------------------- the walk


def test_a_walk_meets_every_letter_once_though_a_page_is_smaller_than_who_died_together(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "PAGE", 3)
    intents = [dead_letter(driver, *numbers(7))[1] for _ in range(4)]
    expected = {(short_id, one) for short_id in intents for one in numbers(7)}
    found = [letter for page in DeadLetters(driver.redis, "lisoloo-main").walk(LetterFilter()) for letter in page]
    assert len(found) == 28
    assert {(letter.short_id, letter.number) for letter in found} == expected


def test_a_walk_ends_though_new_ones_come_and_survives_that_others_leave(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead, "PAGE", 2)
    letters, first = dead_letter(driver, *numbers(6))
    driver.until(driver.server_ms() + 2)
    met = []
    for page in letters.walk(LetterFilter()):
        met += [letter.number for letter in page]
        letters.drop(first, [letter.number for letter in page], Leaving("test", "all"))
        dead_letter(driver)
    assert met == numbers(6)


def test_a_filter_chooses_by_class_source_and_age(driver: Driver) -> None:
    letters, mine = dead_letter(driver, source="billing")
    dead_letter(driver, source="shop")
    assert [[one.short_id for one in group] for group in letters.intents(LetterFilter(source="billing"))] == [[mine]]
    assert list(letters.intents(LetterFilter(kinds=frozenset({DeadClass.UNKNOWN})))) == []
    assert list(letters.intents(LetterFilter(before=driver.server_ms() - 60_000))) == []


# ------------------------------------------------------------------------------------------------------------ sent again


def test_the_dead_of_one_intent_go_again_together_as_they_were_and_the_old_record_says_where_to(driver: Driver) -> None:
    metadata = {"invoice": "7"}
    letters, old = dead_letter(
        driver, *numbers(3), priority="bulk", metadata=metadata, coalesce=False, on_unknown="resend", campaign_name="June"
    )
    done = redrive(driver, letters, letters.of_intent(old), Choice(OTHER, sender_id="KITOKO"))
    (new_id,) = done.intents
    producer = Producer(driver.redis)
    new, before = producer.get(new_id), producer.get(f"lisoloo-main.{old}")
    assert (done.recipients, new.counts, new.source, new.priority) == (3, {"queued": 3}, "billing", "bulk")
    assert (new.metadata, new.campaign_name) == (metadata, "June")
    assert (before.state, {one.redriven_as for one in before.recipients}) == ("done", {new_id})
    assert letters.of_intent(old) == []
    mine = [event for event in driver.events() if event.get("i") == old]
    assert [int(event["q"]) for event in mine] == list(range(1, len(mine) + 1))
    assert [(event["e"], event["as"], event["by"]) for event in mine[-3:]] == [("redriven", new_id, "test")] * 3
    told: list[Event] = list(producer.outcomes("g", all_sources=True, wait=0.01, accounts=["lisoloo-main"]))
    assert told[-1].as_cloudevent()["data"]["redriven_as"] == new_id
    record: Any = driver.redis.hgetall(f"tuma:{{{OTHER}}}:intent:{new_id.rpartition('.')[2]}")
    old_record: Any = driver.redis.hgetall(driver.account.intent(old))
    assert '"sender_id":"KITOKO"' in record_texts(record)["body"]
    assert '"on_unknown":"resend"' in record_texts(record)["body"]
    assert record[b"group"] != old_record[b"group"], "each shares calls with nobody"


def test_a_redrive_killed_before_the_letters_leave_is_finished_by_the_next_as_it_was_chosen(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters, old = dead_letter(driver, *numbers(3))
    killed_before_the_letters_leave(driver, letters, letters.of_intent(old)[:2], Choice(OTHER), monkeypatch)
    assert len(letters.of_intent(old)) == 3
    done = redrive(driver, letters, letters.of_intent(old))
    assert done.recipients == 3
    assert sorted(Producer(driver.redis).get(one).counts["queued"] for one in done.intents) == [1, 2]
    assert len(intents(driver, OTHER)) == 1, "two of them went before, through the account that was chosen then"
    assert letters.of_intent(old) == []


def test_a_redrive_killed_in_the_midst_of_their_leaving_is_finished_without_a_second_send(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters, old = dead_letter(driver, *numbers(3))
    killed_before_the_letters_leave(driver, letters, letters.of_intent(old), SAME, monkeypatch)
    plan = letters.of_intent(old)[0].plan
    assert plan is not None
    before = intents(driver)
    (new,) = [key.decode().rpartition(":")[2] for key in before if old.encode() not in key]
    letters.redriven(old, plan, f"lisoloo-main.{new}", numbers(1), Leaving("test", "all"))
    done = redrive(driver, letters, letters.of_intent(old))
    assert (done.intents, intents(driver), letters.size()) == ([f"lisoloo-main.{new}"], before, 0)


def test_who_was_dropped_or_corrected_after_a_redrive_was_cut_short_is_not_sent_by_the_one_that_finishes_it(driver: Driver) -> None:
    letters, old = dead_letter(driver, *numbers(3))
    assert letters.plan(old, "p", SAME, numbers(3))
    letters.drop(old, numbers(1), Leaving("test", "all"))
    batch_id = letters.of_intent(old)[0].attempt
    assert batch_id is not None
    assert driver.attempts.apply(batch_id, [Target(old, number(1))], RecipientState.DELIVERED, Evidence.HANDSET) == 1
    (new_id,) = redrive(driver, letters, letters.of_intent(old)).intents
    assert [one.number for one in Producer(driver.redis).get(new_id).recipients] == [number(2)]


def test_two_redrives_at_once_that_choose_differently_send_each_recipient_once(driver: Driver) -> None:
    letters, old = dead_letter(driver, *numbers(40))
    found = letters.of_intent(old)
    choices = [(found[:30], SAME), (found[10:], Choice(OTHER)), (found, SAME), (found[::2], Choice(OTHER))]
    with ThreadPoolExecutor(len(choices)) as pool:
        list(pool.map(lambda chosen: redrive(driver, letters, *chosen), choices))
    keys = (intents(driver) | intents(driver, OTHER)) - {driver.account.intent(old).encode()}
    records: list[Any] = [driver.redis.hkeys(key) for key in keys]
    sent = [name for names in records for name in names if name.startswith(b"+")]
    assert sorted(sent) == [one.encode() for one in numbers(40)]
    assert letters.size() == 0


def test_scripts_of_a_redrive_and_a_drop_repeated_change_nothing(driver: Driver) -> None:
    letters, old = dead_letter(driver, *numbers(3))
    assert letters.plan(old, "p", SAME, numbers(2))
    planned = driver.snapshot()
    assert letters.plan(old, "p", SAME, numbers(2))
    assert not letters.plan(old, "another", SAME, numbers(2))
    assert driver.snapshot() == planned
    letters.redriven(old, "p", "lisoloo-main.1", numbers(2), Leaving("test", "all"))
    letters.drop(old, numbers(3)[2:], Leaving("test", "all"))
    left = driver.snapshot()
    letters.redriven(old, "p", "lisoloo-main.1", numbers(2), Leaving("test", "all"))
    letters.drop(old, numbers(3)[2:], Leaving("test", "all"))
    assert letters.planned(old, "p") is None
    assert driver.snapshot() == left


def test_a_deadline_that_has_passed_is_no_longer_sent_without_a_new_one_and_one_ahead_is_kept(driver: Driver) -> None:
    letters, late = dead_letter(driver, expires_in=600)
    driver.redis.hset(driver.account.intent(late), "expires", driver.server_ms())
    assert redrive(driver, letters, letters.of_intent(late)).skipped == {LATE: 1}
    letters, live = dead_letter(driver, number(5), expires_in=600)
    (new_id,) = redrive(driver, letters, letters.of_intent(live)).intents
    producer = Producer(driver.redis)
    assert producer.get(new_id).expires == producer.get(f"lisoloo-main.{live}").expires
    assert redrive(driver, letters, letters.of_intent(late), Choice("lisoloo-main", expires_in=60)).recipients == 1
