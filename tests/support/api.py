"""The gateway's API as tests ask it."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any

import httpx
import schemathesis
import yaml
from tests.support.programs import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schemathesis.schemas import APIOperation
    from tests.support.houses import House

TEXT = resources.files("tuma_worker.gateway").joinpath("openapi.yaml").read_text(encoding="utf-8")
DESCRIPTION: dict[str, Any] = yaml.safe_load(TEXT)
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)

ALL_SCOPES = ("send", "read", "control", "operate")


def new_token(house: House, name: str, *scopes: str, source: str = "test", **options: str) -> str:
    """A token that has just been made."""
    words = [word for scope in scopes for word in ("--scope", scope)]
    words += [word for option, value in options.items() for word in (f"--{option.replace('_', '-')}", value)]
    ran = house.tuma("tokens", "add", name, "--source", source, *words, "--json")
    assert ran.status == 0, ran.err
    return str(ran.json["token"])


def client_of(house: House, token: str) -> httpx.Client:
    """A client that shows this token, and holds every answer against the description."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=house.gateway_url, headers=headers, timeout=PATIENCE, event_hooks={"response": [_conforms]})


def _conforms(answer: httpx.Response) -> None:
    """Fail for an answer that the description of its operation does not name, or that looks otherwise."""
    operation = _operation(answer.request.method, answer.request.url.path)
    if operation is not None and not answer.headers.get("content-type", "").startswith("text/event-stream"):  # which has no end
        answer.read()
        operation.validate_response(answer)


def _operation(method: str, path: str) -> APIOperation[Any, Any, Any, Any] | None:
    for template, methods in DESCRIPTION["paths"].items():
        pattern = re.sub(r"\\{campaign\\}", ".+", re.escape(template))
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", pattern), path) and method.lower() in methods:
            return SCHEMA[template][method]
    return None


def post_lines(http: httpx.Client, lines: Iterable[dict[str, Any] | str], **headers: str) -> list[dict[str, Any]]:
    """What a batch of these lines is answered; a text is sent as it is."""
    body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    kind = {"Content-Type": "application/x-ndjson"} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = http.post("/v1/intents/batch", content=body.encode(), headers=kind).raise_for_status()
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem that this must be, with what all of them have."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    told: dict[str, Any] = answer.json()
    assert (told["type"], told["status"]) == (f"urn:tuma:problem:{kind}", status)
    assert told["title"]
    assert told["request_id"] == answer.headers["x-request-id"]
    return told


Told = tuple[str, dict[str, Any]]  # an event's id with the event


@contextmanager
def reading(http: httpx.Client, last: str | None = None, **parameters: str) -> Iterator[Iterator[Told]]:
    """The events that a reader is told, from when it is there."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with http.stream("GET", "/v1/events", params=parameters, headers=headers) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        lines = answer.iter_lines()
        assert next(lines) == ": tuma"
        yield _events(lines)


def _events(lines: Iterator[str]) -> Iterator[Told]:
    block: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        block[name] = value
        if not line:
            if "data" in block:
                told = json.loads(block["data"])
                assert block["event"] == told["type"]
                yield block["id"], told
            block = {}
