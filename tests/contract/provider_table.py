"""The tables of docs/providers.md: what there is of each endpoint, by the registry, the descriptions and tests that ran."""

from __future__ import annotations

import re
from pathlib import Path

import schemathesis
from tests.contract.doc_tables import NONE
from tests.support import markdown

from tuma_worker.providers import PROVIDERS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "providers.md"
OPENAPI = ROOT / "worker" / "src" / "tuma_worker" / "sandbox" / "openapi"

# As the providers' documents list them, and written down here by hand: the code must not be its own witness.
DOCUMENTED = {
    "lisoloo": (
        "POST /send",
        "GET /status/{message_id}",
        "GET /balance",
        "GET /health",
        "DELETE /cancel/{id}",
        "POST /pause/{id}",
        "POST /resume/{id}",
    ),
    "lineserve": (
        "POST /sms/send",
        "POST /sms/bulk",
        "POST /sms/send-template",
        "GET /sms/status/{message_id}",
        "GET /sms/messages",
        "GET /sms/campaigns",
        "GET /sms/campaigns/{campaign_id}",
        "GET /messaging/sender-ids",
        "POST /messaging/sender-ids",
        "GET /messaging/templates",
        "POST /messaging/templates",
        "GET /messaging/contacts/lists",
        "POST /messaging/contacts/lists",
        "POST /messaging/contacts/lists/{list_id}/contacts",
        "GET /messaging/opt-outs",
        "POST /messaging/opt-outs",
        "POST /messaging/webhooks",
        "GET /messaging/analytics/delivery",
    ),
}
_SEND_TEST = "test_a_send_is_made_at_its_documented_endpoint"
_OPERATION_TEST = "test_an_operation_is_done_at_its_documented_endpoint"


def table(provider: str, shown: set[str]) -> str:
    """A provider's table; `shown` are the endpoints that tests have seen done, by the client and at the stand-in."""
    head = ["Endpoint", "Client", "Sandbox", "OpenAPI", "Command", "Test"]
    return markdown.table(head, (_row(provider, endpoint, shown) for endpoint in DOCUMENTED[provider]))


def _row(provider: str, endpoint: str, shown: set[str]) -> tuple[str, ...]:
    command, test = _command(provider, endpoint)
    done = "✓" if endpoint in shown else NONE
    described = "✓" if _bare(endpoint) in _described(provider) else NONE
    return f"`{endpoint}`", done, done, described, command, test if endpoint in shown else NONE


def _command(provider: str, endpoint: str) -> tuple[str, str]:
    found = PROVIDERS[provider]
    names = [operation.name for operation in found.operations if operation.endpoint == endpoint]
    commands = ["`tuma send`"] * (endpoint in found.sends) + [f"`tuma provider ACCOUNT {name}`" for name in names]
    tests = [f"{_SEND_TEST}[{provider}-{endpoint}]"] * (endpoint in found.sends) + [
        f"{_OPERATION_TEST}[{provider}-{one}]" for one in names
    ]
    return ", ".join(commands) or NONE, f"`{tests[0]}`" if tests else NONE


def _described(provider: str) -> set[str]:
    """The endpoints of a description, without the names of what stands in their paths."""
    paths = schemathesis.openapi.from_path(OPENAPI / f"{provider}.yaml").raw_schema["paths"]
    return {_bare(f"{method.upper()} {path}") for path, methods in paths.items() for method in methods}


def _bare(endpoint: str) -> str:
    return re.sub(r"\{\w+\}", "{}", endpoint)
