"""`enqueue.lua`: record, jobs and event appear together, once, however often the script runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError
from tests.redis.conftest import ACCOUNT, leaked
from tests.support.producers import configure, events, intents, jobs

from tuma_producer import Send
from tuma_producer.contract import wire
from tuma_producer.contract.bundles import Offer
from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from redis import Redis

KEYS = AccountKeys(ACCOUNT)
QUEUE = KEYS.queue("send")
pytestmark = pytest.mark.usefixtures("account")


def send(**more: Any) -> Send:  # noqa: ANN401 - fields of Send
    return Send(**{"account": ACCOUNT, "to": ["+243990000001", "+243990000002"], "message": "Hello", **more})


def run(redis: Redis, request: wire.Enqueue) -> list[bytes]:
    reply: list[bytes] = request.script.run(redis, request.keys, request.args)
    return reply


def test_record_jobs_and_event_are_there_once_it_has_answered(redis: Redis) -> None:
    request = wire.encode(send(), "billing")
    assert run(redis, request) == [b"accepted", request.short_id.encode()]

    (record,) = intents(redis, ACCOUNT)
    assert {name: record[name] for name in ("source", "lane", "expires", "open", "seq")} == {
        "source": "billing",
        "lane": "1",
        "expires": "",
        "open": "2",
        "seq": "1",
    }
    assert [entry.rpartition("|")[2] for entry in jobs(redis, ACCOUNT)] == [
        f"{request.short_id}:+243990000001",
        f"{request.short_id}:+243990000002",
    ]
    assert events(redis, ACCOUNT) == [{"e": "accepted", "i": request.short_id, "s": "billing", "q": "1", "n": "2"}]
    assert redis.lrange(QUEUE.bell, 0, -1) == [b"1"]


def test_the_record_has_a_field_for_each_recipient(redis: Redis) -> None:
    numbers = [f"+24399{index:07d}" for index in range(2500)]
    request = wire.encode(send(to=numbers), "billing")
    run(redis, request)
    record = intents(redis, ACCOUNT)[0]
    assert {name: state for name, state in record.items() if name.startswith("+")} == dict.fromkeys(numbers, "queued")
    assert record["open"] == "2500"
    assert len(jobs(redis, ACCOUNT)) == 2500


def test_the_same_request_twice_is_one_intent_as_after_a_lost_reply(redis: Redis) -> None:
    request = wire.encode(send(idempotency_key="invoice-7"), "billing")
    first = run(redis, request)
    before = {key: redis.dump(key) for key in redis.scan_iter()}
    assert run(redis, request) == first
    assert {key: redis.dump(key) for key in redis.scan_iter()} == before
    assert (len(jobs(redis, ACCOUNT)), len(events(redis, ACCOUNT))) == (2, 1)


def test_a_repeat_after_the_job_was_claimed_does_not_queue_it_again(redis: Redis) -> None:
    request = wire.encode(send(), "billing")
    run(redis, request)
    redis.delete(QUEUE.entries, QUEUE.groups)  # a claim took all there was
    assert run(redis, request) == [b"accepted", request.short_id.encode()]
    assert jobs(redis, ACCOUNT) == []


def test_an_account_that_nobody_configured_is_refused_and_nothing_is_written(redis: Redis) -> None:
    before, request = set(redis.scan_iter()), wire.encode(send(account="elsewhere", idempotency_key="k"), "billing")
    assert run(redis, request) == [b"unknown-account", request.short_id.encode()]
    assert set(redis.scan_iter()) == before


def test_a_used_key_answers_duplicate_for_the_same_body_and_conflict_for_another(redis: Redis) -> None:
    first = wire.encode(send(idempotency_key="k"), "billing")
    run(redis, first)
    assert run(redis, wire.encode(send(idempotency_key="k"), "billing")) == [b"duplicate", first.short_id.encode()]
    assert run(redis, wire.encode(send(idempotency_key="k", message="Bye"), "billing")) == [b"conflict", first.short_id.encode()]
    assert len(intents(redis, ACCOUNT)) == 1


@pytest.mark.parametrize(
    "change",
    [{"message": "Bye"}, {"to": "+243990000001"}, {"sender_id": "KITOKO"}, {"expires_in": 60}, {"metadata": {"invoice": "8"}}],
    ids=lambda change: next(iter(change)),
)
def test_each_of_these_makes_it_another_body(redis: Redis, change: dict[str, Any]) -> None:
    run(redis, wire.encode(send(idempotency_key="k"), "billing"))
    assert run(redis, wire.encode(send(idempotency_key="k", **change), "billing"))[0] == b"conflict"


def test_the_order_of_the_numbers_does_not_make_it_another_body(redis: Redis) -> None:
    run(redis, wire.encode(send(idempotency_key="k"), "billing"))
    turned = send(idempotency_key="k", to=["+243990000002", "+243990000001", "+243990000002"])
    assert run(redis, wire.encode(turned, "billing"))[0] == b"duplicate"


def test_a_used_key_is_forgotten_in_time(redis: Redis) -> None:
    request = wire.encode(send(idempotency_key="k"), "billing")
    run(redis, request)
    assert wire.IDEMPOTENCY_MS - 60_000 < redis.pttl(request.keys[-1]) <= wire.IDEMPOTENCY_MS


def test_neither_a_key_nor_a_job_holds_the_idempotency_key_in_the_clear(redis: Redis) -> None:
    run(redis, wire.encode(send(idempotency_key="+243990000009"), "billing"))
    run(redis, wire.encode(send(idempotency_key="+243990000009", message="Bye", cancel_within=60), "shop"))
    waiting, put_off = jobs(redis, ACCOUNT), [str(member) for member in redis.zrange(QUEUE.due, 0, -1)]
    assert (len(waiting), len(put_off)) == (2, 2)
    assert not [one for one in [*waiting, *put_off, *map(str, redis.scan_iter())] if "+243990000009" in one]


def test_a_life_counts_from_the_servers_clock(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 0)  # a producer whose clock is decades behind
    run(redis, wire.encode(send(expires_in=300), "billing"))
    record = intents(redis, ACCOUNT)[0]
    seconds, micros = redis.time()
    assert int(record["expires"]) - int(record["at"]) == 300_000
    assert 0 <= seconds * 1000 + micros // 1000 - int(record["at"]) < 60_000


def test_a_deadline_is_kept_to_the_millisecond(redis: Redis) -> None:
    deadline = datetime(2031, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
    run(redis, wire.encode(send(expires_at=deadline), "billing"))
    assert int(intents(redis, ACCOUNT)[0]["expires"]) == round(deadline.timestamp() * 1000)


def test_the_longest_life_that_may_be_asked_for_is_written_as_a_whole_number(redis: Redis) -> None:
    run(redis, wire.encode(send(expires_in=timedelta(days=3660).total_seconds()), "billing"))
    assert intents(redis, ACCOUNT)[0]["expires"].isdecimal()


@pytest.mark.parametrize(("priority", "lane"), [("otp", "0"), ("transactional", "1"), ("bulk", "2")])
def test_each_priority_has_its_lane(redis: Redis, priority: str, lane: str) -> None:
    run(redis, wire.encode(send(priority=priority), "billing"))
    assert intents(redis, ACCOUNT)[0]["lane"] == lane
    assert all(entry.startswith(f"{lane}|billing|send.1.0.") for entry in jobs(redis, ACCOUNT))
    assert redis.zrange(QUEUE.sources(int(lane)), 0, -1) == [b"billing"]


def test_sends_with_the_same_text_and_sender_meet_in_one_group(redis: Redis) -> None:
    for more in ({}, {}, {"sender_id": "KITOKO"}, {"message": "Bye"}, {"coalesce": False}, {"coalesce": False}):
        run(redis, wire.encode(send(to="+243990000001", **more), "billing"))
    assert redis.zcard(QUEUE.groups) == 5
    assert len(jobs(redis, ACCOUNT)) == 6


def test_the_bell_holds_one_token_however_many_arrive(redis: Redis) -> None:
    for _ in range(5):
        run(redis, wire.encode(send(), "billing"))
    assert redis.llen(QUEUE.bell) == 1


def test_nobody_is_woken_while_a_claim_has_said_that_nothing_can_move(redis: Redis) -> None:
    seconds, _ = redis.time()
    redis.hset(QUEUE.state, mapping={"silent_until": (seconds + 60) * 1000, "silent_from": 1})
    run(redis, wire.encode(send(), "billing"))
    assert redis.llen(QUEUE.bell) == 0
    run(redis, wire.encode(send(priority="otp"), "billing"))
    assert redis.llen(QUEUE.bell) == 1


def test_a_key_that_would_stand_for_ever_is_noticed_by_the_check_after_each_test(redis: Redis) -> None:
    ended, stray, waning = KEYS.intent("018f3a"), "tuma:{lisoloo-main}:stray", KEYS.batch("b-1")
    redis.hset(ended, "open", 0)
    redis.set(stray, 1)
    redis.set(waning, 1, ex=60)
    assert [leaked(redis, key) for key in (ended, stray, waning)] == [True, True, False]
    redis.expire(ended, 60)
    redis.delete(stray)
    assert not leaked(redis, ended)


def test_every_key_that_the_script_may_touch_lies_in_the_accounts_slot() -> None:
    request = wire.encode(send(idempotency_key="k"), "billing")
    assert all(f"{{{ACCOUNT}}}" in key for key in request.keys)


# --------------------------------------------------------------------------------------------------- several in one call


def bundled(redis: Redis, *requests: wire.Enqueue) -> list[Any]:
    """The replies to these, which are one call."""
    offer = Offer(requests)
    (call,) = offer.calls
    return [reply for _, reply in offer.answered([call.run(redis)])]


def test_several_sends_in_one_call_are_what_they_are_in_calls_of_their_own(redis: Redis) -> None:
    said: list[dict[str, Any]] = [
        {}, {"to": "+243990000003"}, {"message": "Other"}, {"priority": "otp"}, {"cancel_within": 60}, {"campaign_name": "June"},
        {"idempotency_key": "k"}, {"campaign_name": "June", "idempotency_key": "l"},
    ]  # fmt: skip
    requests = [wire.encode(send(**more), "billing") for more in said]
    assert bundled(redis, *requests) == [[b"accepted", one.short_id.encode()] for one in requests]
    together = shown(redis)
    redis.flushdb()
    configure(redis, ACCOUNT)
    for one in requests:
        run(redis, one)
    assert shown(redis) == together


def shown(redis: Redis) -> list[Any]:
    """What was written, but for the times."""
    records = {record["open"] + record["group"]: sorted(record.keys() - {"until"}) for record in intents(redis, ACCOUNT)}
    lines = sorted(entry.split("|")[:3] + entry.split("|")[4:] for entry in jobs(redis, ACCOUNT))
    return [
        records,
        lines,
        events(redis, ACCOUNT),
        redis.zcard(QUEUE.due),
        sorted(redis.keys()),
    ]


def test_each_of_several_has_its_own_answer(redis: Redis) -> None:
    first = wire.encode(send(idempotency_key="k"), "billing")
    run(redis, first)
    same, other, new = (wire.encode(send(**more), "billing") for more in (
        {"idempotency_key": "k"}, {"idempotency_key": "k", "message": "Other"}, {},
    ))  # fmt: skip
    assert bundled(redis, same, other, new) == [
        [b"duplicate", first.short_id.encode()], [b"conflict", first.short_id.encode()], [b"accepted", new.short_id.encode()],
    ]  # fmt: skip
    assert len(intents(redis, ACCOUNT)) == 2


def test_a_repeat_of_several_accepts_those_that_were_not(redis: Redis) -> None:
    requests = [wire.encode(send(), "billing") for _ in range(3)]
    run(redis, requests[1])
    before = events(redis, ACCOUNT)
    assert bundled(redis, *requests) == [[b"accepted", one.short_id.encode()] for one in requests]
    assert events(redis, ACCOUNT)[: len(before)] == before
    assert len(events(redis, ACCOUNT)) == len(intents(redis, ACCOUNT)) == 3


def test_what_is_wrong_with_one_of_several_costs_those_before_it_nothing(redis: Redis) -> None:
    campaigns, _index = wire.campaign_keys(ACCOUNT, "June")
    redis.hset(campaigns, "June", "no JSON")
    requests = [wire.encode(send(**more), "billing") for more in ({}, {"campaign_name": "June"}, {})]
    with pytest.raises(ResponseError):
        bundled(redis, *requests)
    assert {entry.rpartition("|")[2].partition(":")[0] for entry in jobs(redis, ACCOUNT)} == {requests[0].short_id}
    redis.hdel(campaigns, "June")
    assert bundled(redis, *requests) == [[b"accepted", one.short_id.encode()] for one in requests]
