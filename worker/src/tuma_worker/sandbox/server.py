"""Runs the sandbox: binds the port, says when it listens, ends at once when told to."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from typing import TYPE_CHECKING

import uvicorn

from tuma_worker.sandbox import settings as settings_
from tuma_worker.sandbox.app import create_app

if TYPE_CHECKING:
    from types import FrameType

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_KEEP_ALIVE = 75


class PortTaken(OSError):
    """The address cannot be listened on."""


def serve(host: str, port: int, config: object = None) -> None:
    """Serve until SIGTERM or SIGINT. `config` is a JSON object (see settings). Raises PortTaken or SettingsError."""
    settings = settings_.load({} if config is None else config)
    with _bound(host, port) as listener:
        asyncio.run(_Server(settings).serve([listener]))


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only sockets that say TCP themselves get TCP_NODELAY from the event loop; without it every answer may wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        msg = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise PortTaken(msg) from error
    return listener


class _Server(uvicorn.Server):
    """uvicorn that reports its address and waits for nobody when it is told to end."""

    def __init__(self, settings: settings_.Settings) -> None:
        self._app = create_app(settings, self._cut)
        super().__init__(
            uvicorn.Config(
                self._app,
                lifespan="off",
                ws="none",
                log_level="warning",
                access_log=False,
                timeout_keep_alive=_KEEP_ALIVE,
            ),
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the webhook senders with the server, then say where it listens."""
        await super().startup(sockets)
        self._app.state.world.office.open()
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            sys.stdout.write(f"sandbox listening on http://{f'[{host}]' if ':' in host else host}:{port}\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; the calls that are cut off by it are no errors to be reported."""
        await super().shutdown(sockets)
        logging.getLogger("uvicorn.error").disabled = True

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """End without waiting for calls that hang on purpose."""
        self.should_exit = True
        self.force_exit = True

    def _cut(self, client: tuple[str, int]) -> None:
        """Reset the client's connection."""
        for protocol in list(self.server_state.connections):
            if getattr(protocol, "client", None) == client:
                transport = protocol.transport
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                transport.abort()
