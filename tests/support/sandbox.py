"""The sandbox as tests ask it: its books, its switches and its bad days."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
from tests.support.programs import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUICK: dict[str, object] = {"steps": {"queued": 0.0, "processing": 0.01, "sent": 0.02, "final": 0.02}, "webhook_factor": 0.02}
_GLANCE = 0.02  # seconds between two looks


class Sandbox:
    """A running sandbox. Each key of it is labelled with the name of the account that uses it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ahead = 0.0  # seconds by which its clock of sends for later is before ours
        self._http = httpx.Client(base_url=url, timeout=PATIENCE)

    def close(self) -> None:
        self._http.close()

    def books(self) -> dict[str, Any]:
        """All that it has counted, and every accepted call."""
        return dict(self._http.get("/_sandbox/ledger", params={"detail": 1}).raise_for_status().json())

    def calls(self, account: str) -> list[dict[str, Any]]:
        """The calls that it accepted from this account, in the order of their arrival."""
        return [call for call in self.books()["accepted"] if call["key"] == account]

    def requests(self, provider: str, endpoint: str) -> dict[str, int]:
        """How many requests of an endpoint were answered with which status."""
        return dict(self.books()["requests"].get(provider, {}).get(endpoint, {}))

    def until_calls(self, account: str, count: int = 1) -> list[dict[str, Any]]:
        """The accepted calls of this account, once there are so many."""
        self.until(lambda books: sum(call["key"] == account for call in books["accepted"]) >= count)
        return self.calls(account)

    def until(self, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first books that are good: there is nothing to be told by, so they are looked at again and again."""
        deadline = time.monotonic() + PATIENCE
        while not good(books := self.books()):
            assert time.monotonic() < deadline, {name: value for name, value in books.items() if name != "accepted"}
            time.sleep(_GLANCE)
        return books

    def arm(self, kind: str, **more: object) -> None:
        """Order a bad day for the next call."""
        self._http.post("/_sandbox/faults", json={"kind": kind, **more}).raise_for_status()

    def armed(self) -> list[dict[str, Any]]:
        """What was ordered and has not happened yet."""
        return list(self._http.get("/_sandbox/faults").raise_for_status().json())

    def disarm(self) -> None:
        """Nothing that was ordered happens any more."""
        self._http.delete("/_sandbox/faults").raise_for_status()

    def configure(self, **patch: object) -> None:
        """Change settings while it runs."""
        answer = self._http.post("/_sandbox/config", json=patch)
        assert answer.status_code == httpx.codes.OK, answer.text

    def write(self, provider: str, sender: str, text: str) -> None:
        """Let somebody write a message."""
        answer = self._http.post("/_sandbox/inbound", json={"provider": provider, "from": sender, "message": text})
        assert answer.status_code == httpx.codes.CREATED, answer.text

    def advance(self, seconds: float) -> None:
        """Put the clock of sends for later forward."""
        self._http.post("/_sandbox/clock", json={"advance": seconds}).raise_for_status()
        self.ahead += seconds

    def show(self, now: float) -> None:
        """Put the clock of sends for later forward to this time (Unix seconds), unless it is past it."""
        shown = self._http.post("/_sandbox/clock", json={"advance": 0}).raise_for_status().json()["now"]
        self.advance(max(0.0, now - shown))

    def forget(self) -> None:
        """As if it had just started, but for its settings and what was ordered."""
        self._http.delete("/_sandbox/ledger").raise_for_status()
        self.ahead = 0.0

    def dispatches(self, account: str) -> list[dict[str, Any]]:
        """What went out so far of this account's sends for later."""
        return [one for one in self.books()["dispatches"] if one["key"] == account]

    def steered(self, provider_id: str) -> list[str]:
        """Which verbs took effect on this send for later, in their order."""
        return [one["verb"] for one in self.books()["steered"] if one["provider_id"] == provider_id]

    @contextmanager
    def configured(self, **patch: object) -> Iterator[None]:
        """Change settings for a while; afterwards they are those of the start."""
        self.configure(**patch)
        try:
            yield
        finally:
            self._http.delete("/_sandbox/config").raise_for_status()
