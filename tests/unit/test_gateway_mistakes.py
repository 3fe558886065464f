"""A mistake of ours behind the API: the caller learns nothing of it but a name, under which the log has all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from prometheus_client import REGISTRY

from tuma_worker.gateway.app import build_app
from tuma_worker.gateway.desk import Desk

if TYPE_CHECKING:
    from tuma_worker.core.tokens import Scope, Token

PATH = "/v1/accounts"


class Stumbling:
    """Where tokens are asked for, and a mistake is made."""

    async def token(self, authorization: str, scope: Scope) -> Token:
        message = f"{authorization} {scope} hidden"
        raise RuntimeError(message)


def asked(*, raises: bool) -> httpx.Response:
    unused = cast("Any", None)
    desk = Desk(cast("Any", Stumbling()), unused, unused, unused, unused, lambda: "a-name", unused)
    transport = httpx.ASGITransport(build_app(unused, unused, desk), raise_app_exceptions=raises)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.example") as http:
            return await http.get(PATH)

    return asyncio.run(ask())


def test_the_caller_is_told_a_name_and_nothing_else() -> None:
    answer = asked(raises=False)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    told = answer.json()
    assert (told["type"], told["request_id"], "hidden" in answer.text) == ("urn:tuma:problem:internal", "a-name", False)
    assert answer.headers["x-request-id"] == "a-name"


def test_the_server_hears_of_it_and_logs_it() -> None:
    with pytest.raises(RuntimeError, match="hidden"):
        asked(raises=True)


def test_it_is_counted_as_every_request_is() -> None:
    labels = {"operation": f"GET {PATH}", "status": "500"}
    before = REGISTRY.get_sample_value("tuma_api_requests_total", labels) or 0.0
    asked(raises=False)
    assert REGISTRY.get_sample_value("tuma_api_requests_total", labels) == before + 1
