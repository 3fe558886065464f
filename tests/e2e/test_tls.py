"""All of Tuma where Redis is spoken to over TLS alone, with a certificate of an authority that nobody else knows."""

from __future__ import annotations

import subprocess
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.support import servers
from tests.support.houses import open_house

from tuma_producer import Producer, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Secured:
    """A server that only speaks TLS, as who trusts its certificate knows it; `port` for who does not."""

    url: str
    port: int


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    certificate, key = _certificate(tmp_path_factory.mktemp("tls"))
    port = servers.closed_port()
    options = (
        "--port", "0", "--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
        "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no",
    )  # fmt: skip
    started = _started(options)
    yield Secured(f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}", port)
    started.stop()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that is its own authority, and its key."""
    certificate, key = folder / "ca.pem", folder / "key.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", str(certificate), "-keyout", str(key),
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("NO OPENSSL: install it to test TLS")
    return certificate, key


def _started(options: tuple[str, ...]) -> servers.Server:
    """The first server that there is and that was built with TLS: the embedded one was not."""
    for kind in servers.binaries():
        try:
            return servers.start(kind, *options)
        except RuntimeError:
            continue
    pytest.skip("NO TLS: install redis-server; no server here was built with it")


def test_a_send_goes_its_whole_way_over_tls(secured: Secured) -> None:
    with open_house(secured, {"main": {"provider": "lisoloo"}}) as house:
        house.worker(threads=2)
        assert house.done(house.send("main", "+243990000001")).counts == {"delivered": 1}
        assert "✓ server" in house.tuma("doctor").out


def test_a_certificate_that_nobody_vouches_for_is_refused_in_one_line_without_the_password(secured: Secured) -> None:
    stranger = Producer.from_url(f"rediss://tuma:hunter2@localhost:{secured.port}/0")
    with closing(stranger), pytest.raises(StoreUnavailable, match=rf"^no usable Redis at localhost:{secured.port}") as caught:
        stranger.accounts()
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
