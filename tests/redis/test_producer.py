"""Both producers, against a real server. Every test here runs on the synchronous and on the asynchronous one."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis as Client
from tests.redis.conftest import ACCOUNT
from tests.support import servers
from tests.support.producers import configure, events, intents, jobs
from tests.support.proxy import LossyProxy

from tuma_producer import (
    IdempotencyConflict,
    InvalidSend,
    Producer,
    Receipt,
    Send,
    StoreUnavailable,
    TumaError,
    UnknownAccount,
    UnknownIntent,
)
from tuma_producer.contract.bundles import CHUNK
from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from redis import Redis
    from tests.support.producers import AnyProducer
    from tests.support.servers import Server

KEYS = AccountKeys(ACCOUNT)
pytestmark = pytest.mark.usefixtures("account")


def send(index: int = 1, **more: Any) -> Send:  # noqa: ANN401 - fields of Send
    return Send(**{"account": ACCOUNT, "to": f"+24399{index:07d}", "message": "Hello", **more})


# ---------------------------------------------------------------------------------------------------------------- enqueue


def test_a_receipt_says_what_was_accepted(producer: AnyProducer) -> None:
    receipt = producer.enqueue(send(to=["+243 99 000 0001", "00243990000001", "+243990000002"], message="x" * 161))
    assert receipt == Receipt(receipt.id, recipients=2, segments=2, dropped=1, duplicate=False)
    assert receipt.id.startswith(f"{ACCOUNT}.")


def test_an_accepted_send_can_be_read_back_at_once(producer: AnyProducer) -> None:
    receipt = producer.enqueue(
        send(to=["+243990000001", "+243990000002"], priority="otp", expires_in=300, campaign_name="June", metadata={"invoice": "7"})
    )
    intent = producer.get(receipt.id)
    assert (intent.id, intent.state, intent.source, intent.priority) == (receipt.id, "active", "billing", "otp")
    assert (intent.counts, intent.holds, intent.attempts) == ({"queued": 2}, (), ())
    assert [recipient.number for recipient in intent.recipients] == ["+243990000001", "+243990000002"]
    assert (intent.campaign_name, intent.metadata) == ("June", {"invoice": "7"})
    assert intent.expires is not None
    assert (intent.expires - intent.accepted).total_seconds() == 300


def test_the_counts_add_up_to_the_recipients_whatever_became_of_them(producer: AnyProducer, redis: Redis) -> None:
    receipt = producer.enqueue(send(to=["+243990000001", "+243990000002", "+243990000003"]))
    redis.hset(KEYS.intent(receipt.id.rpartition(".")[2]), "+243990000002", "delivered|1700000000000|handset|||")
    intent = producer.get(receipt.id)
    assert intent.counts == {"queued": 2, "delivered": 1}
    assert intent.recipients[1].evidence == "handset"
    assert intent.recipients[1].since is not None


def test_a_waiting_intent_says_what_holds_it(producer: AnyProducer, redis: Redis) -> None:
    receipt = producer.enqueue(send())
    redis.hset(KEYS.queue("send").state, "paused", 1)
    assert producer.get(receipt.id).holds == ("the queue is paused",)


@pytest.mark.parametrize("intent_id", [f"{ACCOUNT}.0123456789a", "elsewhere.1", "nonsense", "", ".", "a}b{c.1"])
def test_an_id_that_stands_for_nothing_is_unknown(producer: AnyProducer, intent_id: str) -> None:
    with pytest.raises(UnknownIntent):
        producer.get(intent_id)


def test_an_unknown_account_is_refused_with_the_names_of_the_known_ones(producer: AnyProducer, redis: Redis) -> None:
    configure(redis, "zeta", "alpha")
    with pytest.raises(UnknownAccount, match=r"'lisoloo-mian' is not configured \(known: alpha, lisoloo-main, zeta\)"):
        producer.enqueue(send(account="lisoloo-mian"))
    assert producer.accounts() == ("alpha", "lisoloo-main", "zeta")


def test_where_no_account_is_known_the_refusal_says_so(producer: AnyProducer, redis: Redis) -> None:
    redis.flushall()
    with pytest.raises(UnknownAccount, match="none yet; start a worker"):
        producer.enqueue(send())


def test_the_send_names_its_source_or_the_producer_does(producer: AnyProducer, redis: Redis) -> None:
    producer.enqueue(send())
    producer.enqueue(send(source="crm"))
    assert sorted(record["source"] for record in intents(redis, ACCOUNT)) == ["billing", "crm"]


@pytest.mark.parametrize("source", ["", "a|b", "a b", "ä", "-a", "a" * 65, "a\n"])
def test_a_source_that_could_break_a_job_apart_is_refused(producer_for: Callable[..., AnyProducer], source: str) -> None:
    with pytest.raises(InvalidSend, match="source: must be"):
        producer_for(source)


# ------------------------------------------------------------------------------------------------------------ idempotency


def test_the_same_key_and_body_is_the_same_intent(producer: AnyProducer, redis: Redis) -> None:
    first = producer.enqueue(send(idempotency_key="login-42"))
    again = producer.enqueue(send(idempotency_key="login-42"))
    assert (again.id, again.duplicate, first.duplicate) == (first.id, True, False)
    assert (len(jobs(redis, ACCOUNT)), len(events(redis, ACCOUNT))) == (1, 1)


def test_the_same_key_with_another_body_is_refused_and_names_the_first_intent(producer: AnyProducer) -> None:
    first = producer.enqueue(send(idempotency_key="login-42"))
    with pytest.raises(IdempotencyConflict, match="use a new key") as caught:
        producer.enqueue(send(idempotency_key="login-42", message="Another"))
    assert caught.value.intent_id == first.id


def test_a_key_is_its_sources_own(producer_for: Callable[..., AnyProducer]) -> None:
    receipts = [producer_for(source).enqueue(send(idempotency_key="login-42")) for source in ("billing", "crm")]
    assert [receipt.duplicate for receipt in receipts] == [False, False]
    assert receipts[0].id != receipts[1].id


def test_twenty_threads_with_one_key_make_exactly_one_intent(redis_url: str, redis: Redis) -> None:
    producer = Producer.from_url(redis_url, source="billing")
    with ThreadPoolExecutor(20) as threads:
        receipts = list(threads.map(lambda _: producer.enqueue(send(idempotency_key="login-42")), range(200)))
    producer.close()
    assert len({receipt.id for receipt in receipts}) == 1
    assert Counter(receipt.duplicate for receipt in receipts) == {True: 199, False: 1}
    assert (len(intents(redis, ACCOUNT)), len(jobs(redis, ACCOUNT)), len(events(redis, ACCOUNT))) == (1, 1, 1)


# ------------------------------------------------------------------------------------------------------------------- many


def counted(sends: Iterable[Send], taken: list[Send]) -> Iterator[Send]:
    for one in sends:
        taken.append(one)
        yield one


def test_receipts_come_in_the_order_of_the_sends(producer: AnyProducer) -> None:
    many = 2 * CHUNK + 17
    receipts = list(producer.enqueue_many(send(index, metadata={"n": str(index)}) for index in range(many)))
    assert len(receipts) == many
    for index in (0, 1, CHUNK - 1, CHUNK, many - 1):
        assert producer.get(receipts[index].id).metadata == {"n": str(index)}


def test_no_sends_are_no_receipts(producer: AnyProducer) -> None:
    assert list(producer.enqueue_many([])) == []


def test_sends_are_taken_no_more_than_two_pipelines_ahead(producer: AnyProducer, redis: Redis) -> None:
    taken: list[Send] = []
    receipts = producer.enqueue_many(counted((send(index) for index in range(10 * CHUNK)), taken))
    assert taken == []
    for received in range(1, 2 * CHUNK + 2):
        next(receipts)
        assert len(taken) - received < 2 * CHUNK
        assert received <= len(jobs(redis, ACCOUNT)) <= len(taken)


def test_a_connection_that_ends_between_two_pipelines_costs_no_send_and_doubles_none(producer: AnyProducer, redis: Redis) -> None:
    receipts = producer.enqueue_many(send(index) for index in range(5 * CHUNK))
    got = [next(receipts)]
    redis.client_kill_filter(_type="normal", skipme=True)
    got += receipts
    assert len({receipt.id for receipt in got}) == 5 * CHUNK
    assert len(jobs(redis, ACCOUNT)) == 5 * CHUNK


def test_a_half_read_run_leaves_a_connection_that_others_can_use(producer: AnyProducer, redis: Redis) -> None:
    receipts = producer.enqueue_many(send(index) for index in range(5 * CHUNK))
    first = next(receipts)
    del receipts  # nobody will ask it for more
    assert producer.get(first.id).counts == {"queued": 1}
    assert CHUNK <= len(jobs(redis, ACCOUNT)) <= 2 * CHUNK


def test_an_endless_stream_of_sends_can_be_enqueued(producer: AnyProducer) -> None:
    def forever() -> Iterator[Send]:
        while True:
            yield send()

    receipts = producer.enqueue_many(forever())
    assert len({next(receipts).id for _ in range(3 * CHUNK)}) == 3 * CHUNK


def test_a_refused_send_raises_at_its_place(producer: AnyProducer, redis: Redis) -> None:
    receipts = producer.enqueue_many([send(1), send(2, account="elsewhere"), send(3)])
    assert isinstance(next(receipts), Receipt)
    with pytest.raises(UnknownAccount, match="known: lisoloo-main"):
        next(receipts)
    assert len(jobs(redis, ACCOUNT)) == 2


def test_with_return_errors_a_refusal_is_yielded_at_its_place_and_the_rest_goes_on(producer: AnyProducer) -> None:
    sends = [
        send(1, idempotency_key="k"),
        send(2, account="elsewhere"),
        send(3, idempotency_key="k"),
        send(1, idempotency_key="k"),
        send(4),
    ]
    kinds = [type(result) for result in producer.enqueue_many(sends, return_errors=True)]
    assert kinds == [Receipt, UnknownAccount, IdempotencyConflict, Receipt, Receipt]


# --------------------------------------------------------------------------------------------------- a server's bad days


def test_a_server_that_forgot_the_scripts_is_no_trouble(producer: AnyProducer, redis: Redis) -> None:
    producer.enqueue(send(1))
    redis.script_flush()
    producer.enqueue(send(2))
    assert len(jobs(redis, ACCOUNT)) == 2


def test_a_server_that_forgets_the_scripts_amid_many_is_no_trouble(producer: AnyProducer, redis: Redis) -> None:
    def forgetful() -> Iterator[Send]:
        for index in range(3 * CHUNK):
            if index % 70 == 0:
                redis.script_flush()
            yield send(index)

    assert len(list(producer.enqueue_many(forgetful()))) == 3 * CHUNK
    assert len(jobs(redis, ACCOUNT)) == len(intents(redis, ACCOUNT)) == 3 * CHUNK


def test_a_cut_connection_is_made_anew(producer: AnyProducer, redis: Redis) -> None:
    producer.enqueue(send(1))
    redis.client_kill_filter(_type="normal", skipme=True)
    producer.enqueue(send(2))
    assert len(jobs(redis, ACCOUNT)) == 2


def test_a_lost_reply_is_asked_for_again_and_the_send_is_accepted_once(
    producer_for: Callable[..., AnyProducer], redis_server: Server, redis: Redis
) -> None:
    with LossyProxy(redis_server.port) as proxy:
        producer = producer_for(url=proxy.url)
        proxy.lose(b"accepted", times=2)
        receipt = producer.enqueue(send(idempotency_key="login-42"))
        producer.close()
        assert proxy.lost == 2
    assert not receipt.duplicate
    assert producer_for().get(receipt.id).counts == {"queued": 1}
    assert (len(intents(redis, ACCOUNT)), len(jobs(redis, ACCOUNT)), len(events(redis, ACCOUNT))) == (1, 1, 1)


def test_a_pipeline_whose_replies_are_lost_is_sent_again_and_each_send_is_accepted_once(
    producer_for: Callable[..., AnyProducer], redis_server: Server, redis: Redis
) -> None:
    with LossyProxy(redis_server.port) as proxy:
        producer = producer_for(url=proxy.url)
        producer.enqueue(send())  # now the server knows the script, and the pipeline is all that is repeated
        proxy.lose(b"accepted", times=2)
        receipts = list(producer.enqueue_many(send(index) for index in range(CHUNK)))
        producer.close()
        assert proxy.lost == 2
    assert len({receipt.id for receipt in receipts}) == CHUNK
    assert len(intents(redis, ACCOUNT)) == len(jobs(redis, ACCOUNT)) == len(events(redis, ACCOUNT)) == CHUNK + 1


def test_a_server_that_is_not_there_is_one_clear_line_without_the_password(producer_for: Callable[..., AnyProducer]) -> None:
    port = servers.closed_port()
    producer = producer_for(url=f"redis://tuma:hunter2@127.0.0.1:{port}/0")
    for attempt in (lambda: producer.enqueue(send()), lambda: list(producer.enqueue_many([send()])), producer.accounts):
        with pytest.raises(StoreUnavailable, match=f"no usable Redis at 127.0.0.1:{port}") as caught:
            attempt()
        assert "hunter2" not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_a_refused_password_is_said_without_it(producer_for: Callable[..., AnyProducer]) -> None:
    server = servers.start(None, "--requirepass", "right-one")
    try:
        producer = producer_for(url=f"redis://:hunter2@127.0.0.1:{server.port}/0")
        with pytest.raises(StoreUnavailable, match="refused the password") as caught:
            producer.accounts()
        assert "hunter2" not in str(caught.value)
    finally:
        server.stop()


def test_a_full_server_refuses_a_send_whole(producer_for: Callable[..., AnyProducer]) -> None:
    server = servers.start()
    try:
        with Client.from_url(server.url) as redis:
            configure(redis, ACCOUNT)
            redis.config_set("maxmemory", 1)
            with pytest.raises(StoreUnavailable, match="OutOfMemoryError"):
                producer_for(url=server.url).enqueue(send(idempotency_key="k"))
            redis.config_set("maxmemory", 0)
            assert set(redis.keys()) == {b"tuma:accounts", KEYS.profile.encode()}
    finally:
        server.stop()


@pytest.mark.parametrize(
    "url", ["user:hunter2@host:6379", "http://user:hunter2@host", "redis://user:hunter2@host:many", "hunter2@"]
)
def test_a_url_of_another_kind_is_refused_without_showing_its_password(producer_for: Callable[..., AnyProducer], url: str) -> None:
    with pytest.raises(TumaError, match="TUMA_REDIS_URL") as caught:
        producer_for(url=url)
    assert "hunter2" not in str(caught.value)


def test_the_url_comes_from_the_environment_where_none_is_given(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUMA_REDIS_URL", redis_url)
    producer = Producer.from_url()
    assert producer.accounts() == (ACCOUNT,)
    producer.close()


def test_a_client_that_decodes_replies_is_refused_when_the_producer_is_made(redis_url: str) -> None:
    with Client.from_url(redis_url, decode_responses=True) as client, pytest.raises(TumaError, match="decode_responses"):
        Producer(client)


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols_of_the_server_do(producer_for: Callable[..., AnyProducer], redis_url: str, protocol: int) -> None:
    producer = producer_for(url=f"{redis_url}?protocol={protocol}")
    receipt = producer.enqueue(send())
    assert producer.get(receipt.id).counts == {"queued": 1}
    assert [event.intent for event in producer.outcomes("watch", wait=0)] == [receipt.id]
