"""What must hold of every provider's way over the network: never left, or unknown, and never a second request."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.contract.canned import Ending, InventedAccount, Tin, call, canned

from tuma_worker.core.answers import TryLater, Unknown
from tuma_worker.providers import named
from tuma_worker.providers.http import FAILURES, KEEPALIVE_EXPIRY, MAX_BODY, Http, failure, timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.canned import CannedServer

    from tuma_worker.core.answers import Reply

SHORT = 0.3


@pytest.fixture(scope="module")
def server() -> Iterator[CannedServer]:
    with canned() as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http(10) as client:
        yield client


def send(provider: str, url: str, http: Http, timeout: float = SHORT, message: str = "Karibu") -> Reply:
    return named(provider).client(InventedAccount(url, timeout=timeout), http).send(call(message=message))


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (Ending.CLOSE, "remote-protocol-error"),
        (Ending.RESET, "read-error"),
        (Ending.HANG, "read-timeout"),
        (Ending.TRICKLE, "read-timeout"),
        (Ending.TRUNCATE, "remote-protocol-error"),
        (Ending.GARBAGE, "remote-protocol-error"),
    ],
)
def test_a_request_that_may_have_arrived_is_unknown_and_not_repeated(
    provider: str, server: CannedServer, http: Http, ending: Ending, code: str
) -> None:
    server.serve(Tin(200, b'{"message_id": "1"', ending=ending))
    reply = send(provider, server.url, http)
    assert reply.answer == Unknown(code)
    assert reply.status is None
    assert len(server.asked) == 1


def test_a_lost_keep_alive_connection_is_not_silently_used_twice(provider: str, server: CannedServer, http: Http) -> None:
    server.serve(Tin(500, b""), Tin(ending=Ending.CLOSE), Tin(500, b""))
    answers = [send(provider, server.url, http).answer for _ in range(3)]
    assert answers == [Unknown("http-500"), Unknown("remote-protocol-error"), Unknown("http-500")]
    assert len(server.asked) == 3


def test_a_refused_connection_never_left(provider: str, http: Http) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reply = send(provider, f"http://127.0.0.1:{unused.getsockname()[1]}", http)
    assert reply.answer == TryLater("connect-error", left=False, unreachable=True)


def test_a_name_that_does_not_resolve_never_left(provider: str, http: Http) -> None:
    assert send(provider, "https://provider.invalid", http).answer in (
        TryLater("connect-error", left=False, unreachable=True),
        TryLater("connect-timeout", left=False, unreachable=True),
    )


def test_a_server_that_does_not_speak_tls_never_got_the_request(provider: str, server: CannedServer, http: Http) -> None:
    server.serve(Tin())
    reply = send(provider, server.url.replace("http:", "https:"), http)
    assert isinstance(reply.answer, TryLater)
    assert not reply.answer.left
    assert not server.asked


def test_a_connection_that_is_never_taken_never_left(provider: str, http: Http) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # The kernel takes what the backlog holds by itself; the next one waits for an accept that does not come.
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        reply = send(provider, f"http://127.0.0.1:{listener.getsockname()[1]}", http)
    assert reply.answer == TryLater("connect-timeout", left=False, unreachable=True)


def test_a_call_that_got_no_connection_from_the_pool_never_left(provider: str, server: CannedServer) -> None:
    server.serve(Tin(ending=Ending.HANG))
    with Http(1) as narrow, ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, provider, server.url, narrow, 1.0)
        assert server.arrived.wait(5)
        assert send(provider, server.url, narrow, SHORT).answer == TryLater("pool-timeout", left=False, counts=False)
        assert first.result().answer == Unknown("read-timeout")
    assert len(server.asked) == 1


TOO_LATE = TryLater("deadline", after=0.0, left=False, counts=False)


def test_what_is_too_late_when_there_is_a_connection_never_left(provider: str, server: CannedServer, http: Http) -> None:
    server.serve(Tin(201, {}))
    client = named(provider).client(InventedAccount(server.url, timeout=SHORT), http)
    reply = client.send(replace(call(), barred=lambda: TOO_LATE))
    assert (reply.answer, server.asked) == (TOO_LATE, [])


def test_a_body_that_nobody_reads_is_unknown(provider: str, http: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        reply = send(provider, f"http://127.0.0.1:{deaf.getsockname()[1]}", http, message="x" * 20_000_000)
    assert reply.answer == Unknown("write-timeout")


def test_a_response_without_end_is_not_read_to_its_end(provider: str, server: CannedServer, http: Http) -> None:
    server.serve(Tin(200, b" " * (MAX_BODY + 1)))
    assert send(provider, server.url, http, timeout=10).answer == Unknown("unreadable-body")


def test_a_compressed_body_that_is_broken_is_unknown(provider: str, server: CannedServer, http: Http) -> None:
    server.serve(Tin(200, b"not gzip", {"Content-Encoding": "gzip"}))
    assert send(provider, server.url, http).answer == Unknown("unreadable-body")


def test_a_cookie_of_one_account_is_not_shown_to_another(provider: str, server: CannedServer, http: Http) -> None:
    server.serve(Tin(500, b"", {"Set-Cookie": "session=one; Path=/"}))
    send(provider, server.url, http)
    send(provider, server.url, http)
    assert not [asked for asked in server.asked if "cookie" in asked.headers]


def test_every_exception_of_httpx_has_its_own_line() -> None:
    def family(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(family(child) for child in kind.__subclasses__()))

    expected = {kind for kind in family(httpx.HTTPError) if kind.__module__ == "httpx"} | {httpx.InvalidURL}
    # Raised only by `raise_for_status`, which nobody calls.
    assert expected - {httpx.HTTPStatusError} == set(FAILURES)


def test_only_what_failed_before_the_request_gives_the_permit_back() -> None:
    gone = {kind.__name__ for kind, answer in FAILURES.items() if isinstance(answer, TryLater) and not answer.left}
    assert gone == {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"}


def test_an_exception_that_a_later_httpx_adds_is_unknown() -> None:
    class Novelty(httpx.NetworkError):
        pass

    assert failure(Novelty("news")) == Unknown("network-error")


def test_a_call_waits_as_told_and_idle_connections_are_forgotten_soon() -> None:
    assert timeouts(30).as_dict() == {"connect": 5.0, "read": 30, "write": 10.0, "pool": 5.0}
    assert 0 < KEEPALIVE_EXPIRY <= 5


def test_a_proxy_of_the_environment_is_used(server: CannedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.serve(Tin(201, {}))
    monkeypatch.setenv("http_proxy", server.url)
    with Http(2) as http:
        assert send("lisoloo", "http://provider.test", http).status == 201
    assert server.asked[0].path.startswith("http://provider.test/")


def test_a_place_that_the_environment_excepts_is_called_without_its_proxy(
    server: CannedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve(Tin(201, {}))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with Http(2) as http:
            assert send("lisoloo", server.url, http).status == 201
