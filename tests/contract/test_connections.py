"""The connections to providers, beyond what every provider's tests ask: when one is used again, and how a response may come."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tuma_worker.providers.connections import Connections, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT = httpx.Timeout(5.0)
NEVER = 60.0
BODY = b"0123456789"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}/send?a=b"


@contextmanager
def connections(expiry: float = NEVER) -> Iterator[Connections]:
    with closing(Connections(4, expiry)) as made:
        yield made


def post(made: Connections, url: str, content: bytes = BODY, timeout: httpx.Timeout = TIMEOUT) -> tuple[int, bytes]:
    with closing(made.send(Request("POST", httpx.URL(url), {"X-Key": "k"}, content), timeout)) as response:
        return response.status_code, b"".join(response.iter_bytes())


def asked(connection: socket.socket) -> bytes:
    connection.settimeout(5)
    read = b""
    while not read.endswith(BODY):
        read += connection.recv(65_536)
    return read


def answered(reply: bytes, then: Callable[[socket.socket], object] = socket.socket.close) -> tuple[int, bytes]:
    """What one call makes of a server that writes this and then does that."""
    with listening() as (listener, url), connections() as made, ThreadPoolExecutor(1) as pool:
        calling = pool.submit(post, made, url)
        connection, _ = listener.accept()
        with connection:
            asked(connection)
            connection.sendall(reply)
            then(connection)
            return calling.result()


def test_a_request_is_what_it_was_asked_to_be() -> None:
    with listening() as (listener, url), connections() as made, ThreadPoolExecutor(1) as pool:
        calling = pool.submit(post, made, url)
        connection, _ = listener.accept()
        with connection:
            head, _, body = asked(connection).partition(b"\r\n\r\n")
            connection.sendall(ANSWER)
            assert calling.result() == (200, b"{}")
    line, *headers = head.decode().split("\r\n")
    assert line == "POST /send?a=b HTTP/1.1"
    host = f"127.0.0.1:{httpx.URL(url).port}"
    assert dict(header.split(": ") for header in headers) == {
        "Host": host, "Accept-Encoding": "identity", "Content-Length": "10", "X-Key": "k",
    }  # fmt: skip
    assert body == BODY


@pytest.mark.parametrize(("expiry", "same"), [(NEVER, True), (0.0, False)])
def test_a_connection_is_used_again_until_it_was_idle_for_too_long(expiry: float, same: bool) -> None:  # noqa: FBT001
    with listening() as (listener, url), connections(expiry) as made, ThreadPoolExecutor(1) as pool:
        calling = pool.submit(post, made, url)
        first, _ = listener.accept()
        with first:
            asked(first)
            first.sendall(ANSWER)
            calling.result()
            again = pool.submit(post, made, url)
            second = first if same else listener.accept()[0]
            with second:
                asked(second)
                second.sendall(ANSWER)
                assert again.result() == (200, b"{}")


@pytest.mark.parametrize("parting", [b"", ANSWER])
def test_an_idle_connection_that_has_something_to_say_is_left(parting: bytes) -> None:
    with listening() as (listener, url), connections() as made, ThreadPoolExecutor(1) as pool:
        calling = pool.submit(post, made, url)
        first, _ = listener.accept()
        with first:
            asked(first)
            first.sendall(ANSWER)
            calling.result()
            first.sendall(parting) if parting else first.shutdown(socket.SHUT_RDWR)
            again = pool.submit(post, made, url)
            second, _ = listener.accept()
            with second:
                asked(second)
                second.sendall(ANSWER)
                assert again.result() == (200, b"{}")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\n2\r\n34\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n01234",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"01234"),
    ],
    ids=["chunked", "until it closes", "after a 100", "packed"],
)
def test_a_body_is_read_however_it_comes(reply: bytes) -> None:
    assert answered(reply) == (200, b"01234")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n01234", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", httpx.RemoteProtocolError),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 12_000, httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n01234", httpx.DecodingError),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"01234")[:-12], httpx.DecodingError),
    ],
    ids=["chunks", "length", "head", "another protocol", "no end", "headers without end", "coding", "packed"],
)
def test_what_is_no_whole_response_is_none(reply: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        answered(reply)


@pytest.mark.parametrize(
    "reply",
    [
        ANSWER + ANSWER,
        ANSWER + b"what nobody asked for",
        ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        ANSWER.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["another response", "no response", "told to close", "HTTP/1.0"],
)
def test_a_connection_that_is_not_clean_is_not_used_again(reply: bytes) -> None:
    with listening() as (listener, url), connections() as made, ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            calling = pool.submit(post, made, url)
            connection, _ = listener.accept()
            with connection:
                asked(connection)
                connection.sendall(reply)
                assert calling.result() == (200, b"{}")


@pytest.mark.parametrize(
    ("begun", "drop"),
    [(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", b"1")],
    ids=["head", "body"],
)
def test_what_trickles_is_not_waited_for_any_longer_than_what_never_comes(begun: bytes, drop: bytes) -> None:
    with listening() as (listener, url), connections() as made, ThreadPoolExecutor(1) as pool:
        calling = pool.submit(post, made, url, timeout=httpx.Timeout(5.0, read=0.3))
        connection, _ = listener.accept()
        with connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            asked(connection)
            connection.sendall(begun)
            while not calling.done():
                connection.sendall(drop)
                futures.wait([calling], timeout=0.02)
        with pytest.raises(httpx.ReadTimeout):
            calling.result()


def test_who_refuses_before_it_has_read_everything_is_heard() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with listening() as (listener, url), connections() as made, ThreadPoolExecutor(1) as pool:
        calling = pool.submit(post, made, url, b"x" * 20_000_000)
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)
            connection.sendall(refusal)
        assert calling.result() == (413, b"{}")


def test_a_header_that_is_none_is_our_own_fault() -> None:
    with listening() as (_, url), connections() as made, pytest.raises(httpx.LocalProtocolError):
        made.send(Request("POST", httpx.URL(url), {"X-Key": "a\r\nb"}, BODY), TIMEOUT)


def test_only_http_is_spoken() -> None:
    with connections() as made, pytest.raises(httpx.UnsupportedProtocol):
        made.send(Request("POST", httpx.URL("ftp://provider.test"), {}, BODY), TIMEOUT)


# ----------------------------------------------------------------------------------------------------------------- over TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost`, with its key in the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = tmp_path_factory.mktemp("tls") / "both.pem"
    about = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
    subprocess.run([openssl, "req", "-x509", *about, "-keyout", made, "-out", f"{made}.crt"], check=True, capture_output=True)
    with made.open("a") as both:
        both.write(Path(f"{made}.crt").read_text(encoding="ascii"))
    return made


@contextmanager
def answering_over_tls(certificate: Path) -> Iterator[int]:
    """Answer one request; gives the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def answer() -> None:
        connection, _ = listener.accept()
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as secure:
            asked(secure)
            secure.sendall(ANSWER)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(5)
        answering = pool.submit(answer)
        yield listener.getsockname()[1]
        answering.result()


def test_a_server_proves_by_its_certificate_who_it_is(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    with connections() as made, answering_over_tls(certificate) as port:
        assert post(made, f"https://localhost:{port}/send") == (200, b"{}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_one_that_cannot_prove_it_hears_nothing(certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """It is trusted and has another name, or has the name and is not trusted."""
    if host == "127.0.0.1":
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    with connections() as made, answering_over_tls(certificate) as port, pytest.raises(httpx.ConnectError):
        post(made, f"https://{host}:{port}/send")
