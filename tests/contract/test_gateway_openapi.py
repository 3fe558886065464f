"""The description of the gateway's API, held against the code, and against a gateway that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
from tests.contract.canned import PAYLOADS
from tests.contract.conformance import CHECKS, quickly
from tests.contract.mutants import swaps
from tests.support import servers
from tests.support.api import ALL_SCOPES, DESCRIPTION, SCHEMA, TEXT, new_token
from tests.support.houses import open_house

from tuma_producer import ControlResult, Intent, Receipt, Send
from tuma_worker.gateway.api import OPERATIONS
from tuma_worker.gateway.problems import Kind
from tuma_worker.gateway.receiver import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import Case
    from tests.support.houses import House

SCHEMA.config.phases.coverage.enabled = False  # hundreds of requests for each operation: run by hand with `st run`
DESCRIBED = {
    (method.upper(), path): told for path, methods in DESCRIPTION["paths"].items() for method, told in methods.items()
}  # fmt: skip

QUICKLY = quickly(8)


@schemathesis.serializer("application/x-ndjson")
def _as_it_is(_context: schemathesis.SerializationContext, value: object) -> bytes:
    return str(value).encode("utf-8", errors="replace")


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    server = servers.start()
    with open_house(server, {"lisoloo-main": {"provider": "lisoloo"}}) as found:
        yield found
    server.stop()


@pytest.fixture(scope="module")
def token(house: House) -> str:
    return new_token(house, "schemathesis", *ALL_SCOPES)


@SCHEMA.exclude(operation_id="followEvents").parametrize()  # which has no end
@QUICKLY
def test_the_gateway_answers_as_its_description_says(house: House, token: str, case: Case[Any]) -> None:
    case.call_and_validate(base_url=house.gateway_url, headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)


SEND = b'{"account": "lisoloo-main", "to": ["+243990000001"], "message": "Hello", "expires_in": 30, "metadata": {"a": "b"}}'
RECEIPT = (PAYLOADS / "lisoloo" / "receipt-delivered.json").read_bytes()


@pytest.mark.parametrize(
    ("place", "body"), [("/v1/intents", SEND), ("/v1/intents/batch", SEND), (f"{PREFIX}lisoloo-main", RECEIPT)]
)
def test_no_body_is_more_than_the_gateway_can_bear(house: House, token: str, place: str, body: bytes) -> None:
    kind = "application/x-ndjson" if place.endswith("batch") else "application/json"
    with httpx.Client(base_url=house.gateway_url, headers={"Authorization": f"Bearer {token}", "Content-Type": kind}) as client:
        found = {client.post(place, content=worse).status_code for worse in swaps(body)}
    assert max(found) < 500, found


def test_every_operation_is_described_with_its_scope_and_nothing_else_is() -> None:
    scopes = {place: told["security"][0]["token"] for place, told in DESCRIBED.items()}
    assert scopes == {(one.method, one.path): [one.scope] for one in OPERATIONS}


def test_every_operation_may_be_refused_as_all_are() -> None:
    assert [place for place, told in DESCRIBED.items() if not {"401", "403", "503"} <= told["responses"].keys()] == []
    ours = {str(kind.status) for kind in Kind} - {str(Kind.OURS.status), str(Kind.METHOD.status)}
    named = {status for told in DESCRIBED.values() for status in told["responses"]}
    assert ours <= named


def test_the_fields_of_a_send_are_those_of_the_producer() -> None:
    described = DESCRIPTION["components"]["schemas"]["Send"]
    assert described["properties"].keys() == Send.model_fields.keys()
    assert described["required"] == [name for name, field in Send.model_fields.items() if field.is_required()]


@pytest.mark.parametrize("kind", [Receipt, Intent, ControlResult], ids=lambda kind: kind.__name__)
def test_what_is_described_of_an_answer_is_there(kind: type[Any]) -> None:
    assert DESCRIPTION["components"]["schemas"][kind.__name__]["properties"].keys() <= kind.__dataclass_fields__.keys()


def test_the_description_is_served_to_whoever_asks(house: House) -> None:
    answer = httpx.get(f"{house.gateway_url}/v1/openapi.yaml")
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, "application/yaml", TEXT)
