"""Schedules that we hold: they fire by themselves, everybody gets every occurrence once, and they can be stopped."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.support.houses import open_house
from tests.support.servers import start

from tuma_producer import At, Every, Producer, Send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis
    from tests.support.houses import House
    from tests.support.programs import Tuma
    from tests.support.servers import Server

    from tuma_producer import Event
    from tuma_producer.schedules import Misfire

TO = ["+243990000001", "+243990000002", "+243990000003"]


@pytest.fixture(scope="module")
def house(server: Server) -> Iterator[House]:
    accounts = {"three": {"provider": "lisoloo"}, "again": {"provider": "lineserve"}, "late": {"provider": "lisoloo"}}
    with open_house(server, accounts) as found:
        yield found


def soon(*seconds: float) -> list[datetime]:
    now = datetime.now(UTC)
    return [now + timedelta(seconds=later) for later in seconds]


def until(house: House, at: datetime) -> None:
    """Return when this time has come: the server says when, by ending a blocking read."""
    while (left := (at - datetime.now(UTC)).total_seconds()) > 0:
        house.redis.blpop(["tuma:test:nobody-rings-here"], timeout=min(left, 1.0))


def occurrences(house: House, schedule_id: str, count: int) -> list[Event]:
    """The first so many occurrences of a schedule, once all of their recipients have ended."""
    account = schedule_id.rpartition(".")[0]
    fired: dict[str, Event] = {}
    done: set[str] = set()
    for event in house.account_events(account):
        if event.type == "tuma.intent.fired" and event.intent == schedule_id:
            fired[event.data["occurrence"]] = event
        elif event.type == "tuma.intent.done" and event.intent is not None:
            done.add(event.intent)
        if len(fired) >= count and done >= fired.keys():
            return list(fired.values())
    raise AssertionError((fired.keys(), done, house.last_words()))


def test_at_three_times_fires_three_times_and_everybody_gets_exactly_three(house: House) -> None:
    house.worker("three")
    times = soon(1, 2, 3)
    schedule_id = house.send("three", *TO, schedule=At(times=times), message="Three times")
    fired = occurrences(house, schedule_id, 3)
    assert house.copies("three") == {("Three times", number): 3 for number in TO}
    schedule = house.producer.get(schedule_id)
    assert (schedule.state, schedule.fired, schedule.next_firing) == ("done", 3, None)
    assert schedule.occurrences == tuple(event.data["occurrence"] for event in fired)
    for event, at in zip(fired, times, strict=True):
        assert 0 <= (datetime.fromisoformat(event.data["firing"]) - at).total_seconds() <= 0.001
        assert event.time >= at
        occurrence = house.producer.get(event.data["occurrence"])
        assert (occurrence.parent, occurrence.counts) == (schedule_id, {"delivered": 3})
    assert house.story(schedule_id) == ["scheduled", "fired", "fired", "fired", "done"]


def test_every_second_goes_on_until_it_is_cancelled_and_then_nothing_comes(house: House) -> None:
    house.worker("again")
    every = Every(frequency="seconds", interval=1, start=soon(1)[0])
    schedule_id = house.send("again", *TO, schedule=every, message="Again")
    occurrences(house, schedule_id, 2)
    assert house.producer.pause(schedule_id).next_firing is None
    assert house.producer.resume(schedule_id).next_firing is not None
    occurrences(house, schedule_id, 4)
    cancelled = house.producer.cancel(schedule_id)
    assert cancelled.outcome in {"done", "partly"}
    fired = house.producer.get(schedule_id).fired
    other = house.send("again", "+243990000009", schedule=At(times=soon(2.5)))
    occurrences(house, other, 1)  # by then, two more would have come
    schedule = house.producer.get(schedule_id)
    assert (schedule.state, schedule.fired) == ("cancelled", fired)
    ended = [house.producer.get(one) for one in schedule.occurrences]
    delivered = sum(one.counts.get("delivered", 0) for one in ended)
    assert sum(count for (text, _), count in house.copies("again").items() if text == "Again") == delivered


def test_what_fires_after_an_edit_is_what_was_asked_for_last(house: House) -> None:
    house.worker("three")
    first, second = soon(1.5, 3)
    schedule_id = house.send("three", *TO, schedule=At(times=[first, second]), message="Before")
    occurrences(house, schedule_id, 1)
    assert house.producer.edit(schedule_id, message="After", to=TO[:1]).next_firing is not None
    occurrences(house, schedule_id, 2)
    copies = house.copies("three")
    assert {number: copies["Before", number] for number in TO} == dict.fromkeys(TO, 1)
    assert [number for text, number in copies if text == "After"] == TO[:1]


def test_what_came_due_while_no_worker_was_there_fires_once_when_one_comes(house: House) -> None:
    times = soon(0.5, 0.8)
    schedule_id = house.send("late", *TO, schedule=At(times=times, misfire="once", grace=0.0), message="Late")
    until(house, times[-1])
    house.worker("late")
    (only,) = occurrences(house, schedule_id, 1)
    assert house.copies("late") == {("Late", number): 1 for number in TO}
    assert 0 <= (datetime.fromisoformat(only.data["firing"]) - times[-1]).total_seconds() <= 0.001


# -------------------------------------------------------------------------------------------------------- from the shell

SEND = ("send", "--account", "lisoloo-main", "--to", "+243990000001", "--message", "Good day.")


def test_a_schedule_from_the_shell_is_shown_with_its_next_firing_and_steered(tuma: Tuma) -> None:
    ran = tuma(*SEND, "--every", "daily", "--times", "08:00", "--start", "2030-12-01", "--tz", "Africa/Kinshasa", "--json")
    schedule_id = json.loads(ran.out)["id"]
    shown = tuma("get", schedule_id)
    assert "scheduled, fired 0 times" in shown.out
    assert "fires next: 2030-12-01T07:00:00+00:00" in shown.out
    found = json.loads(tuma("get", schedule_id, "--json").out)
    assert (found["state"], found["schedule"]["frequency"], found["schedule"]["tz"]) == ("scheduled", "daily", "Africa/Kinshasa")
    assert tuma("pause", schedule_id).out.strip() == f"{schedule_id}: pause done"
    assert tuma("resume", schedule_id).out.strip() == f"{schedule_id}: resume done: fires next at 2030-12-01T07:00:00+00:00"
    assert tuma("cancel", schedule_id).out.strip() == f"{schedule_id}: cancel done"


def test_schedules_are_listed_from_the_shell_the_last_one_first(tuma: Tuma, redis: Redis) -> None:
    producer = Producer(redis, source="cli")
    daily = Every(frequency="daily", times=["08:00"], start="2030-12-01", tz="Africa/Kinshasa")
    about = {"account": "lisoloo-main", "to": "+243990000001", "message": "Good day."}
    first = producer.enqueue(Send(**about, schedule=daily)).id
    assert first in tuma("schedule", "list").out  # which takes more than a millisecond: within one the order is by chance
    last = producer.enqueue(Send(**about, schedule=At(times=["2030-12-24T18:00Z"]))).id
    producer.cancel(last)
    _, *rows = [line.split() for line in tuma("schedule", "list").out.splitlines()]
    assert rows == [
        [last, "cancelled", "2030-12-24", "18:00", "0", "cli"],
        [first, "scheduled", *["every", "day", "at", "08:00", "(Africa/Kinshasa)"], "2030-12-01", "07:00:00", "0", "cli"],
    ]
    found = tuma("schedule", "list", "--account", "lisoloo-main", "--json").jsons
    assert [(one["id"], one["state"], one["next_firing"]) for one in found] == [
        (last, "cancelled", None),
        (first, "scheduled", "2030-12-01T07:00:00.000+00:00"),
    ]
    assert found[1]["schedule"]["frequency"] == "daily"
    assert "+243990000001" not in str(found)
    assert tuma("schedule", "list", "--account", "nobody").err.startswith("error: account: 'nobody' is not configured")


def test_times_from_the_shell_may_be_several(tuma: Tuma) -> None:
    ran = tuma(*SEND, "--at", "2030-12-24T18:00", "--at", "2030-12-31T23:00", "--tz", "Africa/Kinshasa", "--json")
    found = json.loads(tuma("get", json.loads(ran.out)["id"], "--json").out)
    assert found["schedule"]["times"] == ["2030-12-24T18:00:00", "2030-12-31T23:00:00"]


def test_a_schedule_is_edited_from_the_shell(tuma: Tuma) -> None:
    daily = ("--every", "daily", "--times", "08:00", "--start", "2030-12-01", "--tz", "Africa/Kinshasa")
    schedule_id = json.loads(tuma(*SEND, *daily, "--json").out)["id"]
    ran = tuma("schedule", "edit", schedule_id, "--message", "Good evening.", "--to", "+243990000002", "--at", "2031-01-01T18:00Z")
    assert ran.out.strip() == f"{schedule_id}: scheduled, 1 recipient, 1 segment each, fires next at 2031-01-01T18:00:00+00:00"
    found = json.loads(tuma("get", schedule_id, "--json").out)
    assert (found["schedule"]["times"], found["next_firing"]) == (["2031-01-01T18:00:00Z"], "2031-01-01T18:00:00.000+00:00")
    assert tuma("schedule", "edit", schedule_id, "--message", "Good night.", "--json").json["next_firing"] == found["next_firing"]


EDIT_MISTAKES = {
    "nothing": ((), "message: nothing is to be changed; give message, schedule or to"),
    "past": (("--at", "2020-12-24T18:00Z"), "schedule: is over: none of its times is still to come"),
    "a number": (("--to", "12"), "to: entry 0: "),
    "both kinds": (("--at", "2030-12-24T18:00Z", "--every", "daily"), "give either --at"),
    "weekdays of a month": (
        ("--every", "monthly", "--times", "08:00", "--start", "2030-12-01", "--tz", "UTC", "--weekdays", "mon"),
        "weekdays: go with weekly only",
    ),
}


@pytest.mark.parametrize(("arguments", "reason"), EDIT_MISTAKES.values(), ids=EDIT_MISTAKES)
def test_a_mistake_in_an_edit_is_one_line_and_exit_status_2(tuma: Tuma, arguments: tuple[str, ...], reason: str) -> None:
    schedule_id = json.loads(tuma(*SEND, "--at", "2030-12-24T18:00Z", "--json").out)["id"]
    ran = tuma("schedule", "edit", schedule_id, *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert reason in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_what_cannot_be_edited_any_more_is_one_line_and_exit_status_2(tuma: Tuma) -> None:
    schedule_id = json.loads(tuma(*SEND, "--at", "2030-12-24T18:00Z", "--json").out)["id"]
    tuma("cancel", schedule_id)
    ran = tuma("schedule", "edit", schedule_id, "--message", "Too late.")
    assert (ran.status, ran.err) == (
        2,
        f"error: intent: '{schedule_id}' cannot be edited: it is cancelled; send another schedule\n",
    )
    assert tuma("schedule", "edit", "lisoloo-main." + "0" * 26, "--message", "Who?").status == 1


DAILY = ("--every", "daily", "--times", "08:00", "--start", "2030-12-01", "--tz", "Africa/Kinshasa")
MISTAKES = {
    "end before start": ((*DAILY, "--end", "2030-11-30"), "end: must not be before start"),
    "interval 0": ((*DAILY, "--interval", "0"), "interval: "),
    "nothing in range": ((*DAILY, "--end", "2030-12-01T07:00"), "end: nothing ever fires between start and end"),
    "unknown zone": ((*DAILY, "--tz", "Kinshasa"), "tz: must be an IANA time zone"),
    "weekdays of a month": ((*DAILY, "--every", "monthly", "--weekdays", "mon"), "weekdays: go with weekly only"),
    "a series of the past": ((*DAILY, "--start", "2020-12-01", "--end", "2020-12-02"), "schedule: is over: none of its times"),
    "past": (("--at", "2020-12-24T18:00Z"), "schedule: is over: none of its times is still to come"),
    "both kinds": (("--at", "2030-12-24T18:00Z", "--every", "daily"), "give either --at"),
    "an option of neither": (("--times", "08:00"), "give either --at"),
    "no offset": (("--at", "2030-12-24T18:00"), "--at: entry 0: has no offset"),
    "misfire": (("--at", "2030-12-24T18:00Z", "--misfire", "maybe"), "misfire: "),
    "waiting for it": (("--at", "2030-12-24T18:00Z", "--wait"), "--wait cannot go with a schedule"),
}


@pytest.mark.parametrize(("arguments", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_schedule_is_one_line_and_exit_status_2(tuma: Tuma, arguments: tuple[str, ...], reason: str) -> None:
    ran = tuma(*SEND, *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert reason in ran.err
    assert len(ran.err.strip().splitlines()) == 1


# ------------------------------------------------------------------------------------------------- after everything stopped


def test_after_a_restart_of_everything_each_misfire_policy_holds_and_nothing_fires_twice(tmp_path: Path) -> None:
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    server = start(None, *durable, directory=tmp_path)
    with ExitStack() as stack:
        stack.callback(server.stop)
        house = stack.enter_context(open_house(server, {"main": {"provider": "lisoloo"}}))
        worker = house.worker("main")
        times = soon(5, 5.5, 3600)  # by the first, all of it must be down; the last is not to be missed on the busiest machine
        wanted: dict[Misfire, list[datetime]] = {"all": times[:2], "once": times[1:2], "skip": []}
        schedules = {
            policy: house.send("main", *TO, schedule=At(times=times, misfire=policy, grace=0.0), message=policy)
            for policy in wanted
        }
        worker.kill()
        server.stop()
        again = start(server.kind, *durable, directory=tmp_path, port=server.port)
        stack.callback(again.stop)
        until(house, times[1])
        follower = house.worker("main")
        for policy, expected in wanted.items():
            follower.until("schedule.fired", schedules[policy].rpartition(".")[2])
            fired = occurrences(house, schedules[policy], len(expected)) if expected else []
            schedule = house.producer.get(schedules[policy])
            assert (schedule.state, schedule.fired) == ("scheduled", len(expected)), policy
            assert schedule.next_firing is not None
            firings = [*(datetime.fromisoformat(event.data["firing"]) for event in fired), schedule.next_firing]
            late = [firing - at for firing, at in zip(firings, [*expected, times[2]], strict=True)]
            assert all(timedelta(0) <= one <= timedelta(milliseconds=1) for one in late), policy
        assert house.copies("main") == {(policy, to): 1 for policy in ("all", "once") for to in TO} | {("all", to): 2 for to in TO}
