"""Runs the gateway: binds the port, says where it listens, and drains when it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
import uvicorn
from prometheus_client import start_http_server

from tuma_producer.contract.connection import connect, connect_async, server_of, translated
from tuma_producer.errors import TumaError
from tuma_worker import tracing
from tuma_worker.bootstrap import configured, parts, reality
from tuma_worker.gateway.access import Access
from tuma_worker.gateway.app import build_app
from tuma_worker.gateway.desk import Desk
from tuma_worker.gateway.rates import Rates
from tuma_worker.logs import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuma_worker.settings import Settings

_log = structlog.get_logger(__name__)

_DRAIN = 5  # seconds; a provider gives a receipt ten


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `TumaError` where the port is taken, Redis is away, or an account cannot work."""
    configured.check_accounts(settings)
    tracing.configure(settings.otlp_endpoint, "tuma-gateway")
    _show_metrics(settings)
    with _listener(settings.gateway_host, settings.gateway_port) as listener:
        with connect(settings.redis_url) as redis, translated(server_of(redis)):
            configured.register_accounts(redis, settings)
        with asyncio.Runner(loop_factory=_loop_factory()) as loop:
            loop.run(_serve(settings, listener))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - there is none for every platform
    except ImportError:
        return asyncio.new_event_loop
    return new_event_loop


def _show_metrics(settings: Settings) -> None:
    if settings.gateway_metrics_port == 0:
        return
    try:
        start_http_server(settings.gateway_metrics_port, settings.metrics_host)
    except OSError as error:
        message = (
            f"TUMA_GATEWAY_METRICS_PORT: cannot listen on {settings.metrics_host}:{settings.gateway_metrics_port} "
            f"({error.strerror}); set another, or 0 for none"
        )
        raise TumaError(message) from None


async def _serve(settings: Settings, listener: socket.socket) -> None:
    # A timeout of the socket's own is set up anew for every single reply; whoever asks here has one for all of them.
    redis = connect_async(settings.redis_url, socket_timeout=None)
    asked = connect_async(settings.redis_url)
    store = connect(settings.redis_url)
    desk = Desk(
        Access(asked, reality.wall_clock), Rates(reality.steady_clock), asked, store,
        reality.wall_clock, reality.fresh_name, reality.fresh_secret,
    )  # fmt: skip
    app = build_app(parts.build_intake(redis, settings), redis, desk)
    config = uvicorn.Config(
        app, lifespan="off", ws="none", access_log=False, log_config=None, server_header=False, timeout_graceful_shutdown=_DRAIN,
        proxy_headers=bool(settings.gateway_proxies), forwarded_allow_ips=list(settings.gateway_proxies),
    )  # fmt: skip
    try:
        await _Server(config, desk.readers.ending).serve([listener])
    finally:
        store.close()
        await asked.aclose()
        await redis.aclose()
        _log.info(Event.GATEWAY_STOPPED)


class _Server(uvicorn.Server):
    """uvicorn that says where it listens, and ends with status 0 when told to end instead of raising the signal once more.

    `ending` is for those who would stay for ever.
    """

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so: signals are handled by now."""
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            _log.info(Event.GATEWAY_STARTED, host=host, port=port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those who read events go, and wait for the others."""
        self._ending.set()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain at the first signal; at a second one wait for nobody."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        yield


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # A socket that does not say TCP itself is left with Nagle's algorithm on by the event loop: forty milliseconds an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        message = (
            f"cannot listen on {host}:{port} ({error.strerror}); set TUMA_GATEWAY_HOST and TUMA_GATEWAY_PORT to a free address"
        )
        raise TumaError(message) from None
    return listener
