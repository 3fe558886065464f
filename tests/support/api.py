"""The gateway's API as tests ask it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
from tests.support.programs import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.houses import House

ALL_SCOPES = ("send", "read", "control", "operate")


def new_token(house: House, name: str, *scopes: str, source: str = "test", **options: str) -> str:
    """A token that has just been made."""
    words = [word for scope in scopes for word in ("--scope", scope)]
    words += [word for option, value in options.items() for word in (f"--{option.replace('_', '-')}", value)]
    ran = house.tuma("tokens", "add", name, "--source", source, *words, "--json")
    assert ran.status == 0, ran.err
    return str(ran.json["token"])


def client_of(house: House, token: str | None) -> httpx.Client:
    """A client that shows this token, or none."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=house.gateway_url, headers=headers, timeout=PATIENCE)


def post_lines(http: httpx.Client, lines: Iterable[dict[str, Any] | str], **headers: str) -> list[dict[str, Any]]:
    """What a batch of these lines is answered; a text is sent as it is."""
    body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    kind = {"Content-Type": "application/x-ndjson"} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = http.post("/v1/intents/batch", content=body.encode(), headers=kind).raise_for_status()
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]
