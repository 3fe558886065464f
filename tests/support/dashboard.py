"""The dashboard as tests without a browser use it: pages are read, forms are filled in, cookies are kept."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
from tests.support.programs import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.houses import House

_PROOF = re.compile(r'<meta name="proof" content="([0-9a-f]+)">')
_NOTICE = re.compile(r'<p class="notice" role="status">(.*)</p>')


class Visitor:
    """Somebody with a browser that runs no script, on the page that they saw last."""

    def __init__(self, house: House) -> None:
        self.http = httpx.Client(base_url=house.gateway_url, timeout=PATIENCE)
        self.proof = ""

    def log_in(self, token: str, **more: str) -> httpx.Response:
        """Fill in the first form."""
        return self.http.post("/login", data={"token": token, **more})

    def see(self, path: str) -> str:
        """A page, which must be there; its forms are filled in from now on."""
        answer = self.http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), answer.text
        found = _PROOF.search(answer.text)
        assert found is not None
        self.proof = found[1]
        return answer.text

    def do(self, path: str, **fields: str) -> httpx.Response:
        """Send a form of the page that was seen last."""
        return self.http.post(path, data={"proof": self.proof, **fields})

    def done(self, path: str, *, on: str = "/", **fields: str) -> str:
        """What the page says after a form of it was sent."""
        answer = self.http.post(path, data={"proof": self.proof, **fields}, headers={"Referer": f"{self.http.base_url}{on}"})
        assert (answer.status_code, answer.headers["location"]) == (303, on), answer.text
        found = _NOTICE.search(self.see(on))
        assert found is not None
        return found[1]

    @contextmanager
    def watch(self, path: str = "") -> Iterator[Iterator[str]]:
        """The page as it changes."""
        with self.http.stream("GET", f"/live/{path}") as answer:
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
            yield (json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith('data: "'))
