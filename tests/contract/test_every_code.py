"""Every code of every provider's table: its stand-in can be made to say it, and the client reads it as the table says."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from tests.contract.conftest import LINESERVE_KEY, LISOLOO_KEY

from tuma_worker.core.answers import Accepted, AccountFault, Rejected, TryLater, Unknown
from tuma_worker.providers import PROVIDERS
from tuma_worker.providers.base import Call
from tuma_worker.providers.http import Http
from tuma_worker.providers.verdicts import Verdict
from tuma_worker.settings import Account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.contract.conftest import Sandbox

    from tuma_worker.core.answers import Answer
    from tuma_worker.providers.verdicts import Rule

PLACES = {"lisoloo": ("/lisoloo", LISOLOO_KEY), "lineserve": ("/lineserve/v1", LINESERVE_KEY)}
NUMBERS = ("+254711000001", "+254711000002")
KINDS: Mapping[Verdict, type[Answer]] = {
    Verdict.NUMBER: Rejected,
    Verdict.SPLIT: Rejected,
    Verdict.UNCLEAR: Rejected,
    Verdict.REJECTED: Rejected,
    Verdict.LATER: TryLater,
    Verdict.LIMITED: TryLater,
    Verdict.MONEY: AccountFault,
    Verdict.KEY: AccountFault,
    Verdict.SUSPENDED: AccountFault,
    Verdict.CONFIGURATION: AccountFault,
    Verdict.OPERATOR: AccountFault,
    Verdict.UNKNOWN: Unknown,
}


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http() as http:
        yield http


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_every_code_is_said_by_the_stand_in_and_read_as_the_table_says(sandbox: Sandbox, http: Http, provider: str) -> None:
    path, key = PLACES[provider]
    account = Account(provider=provider, base_url=sandbox.url + path, api_key=SecretStr(key), environment="sandbox", timeout=5)
    client = PROVIDERS[provider].client(account, http)
    sandbox.config(lisoloo={"error_format": "structured"})  # the other shape carries no code
    rules: Mapping[str, Rule] = import_module(f"tuma_worker.providers.{provider}.statuses").CODES
    read = {}
    for code in rules:
        sandbox.arm("refuse", provider=provider, code=code)
        reply = client.send(Call(NUMBERS, "Karibu", None, "reference"))
        assert not isinstance(reply.answer, Accepted), code
        read[code] = (reply.answer.code, type(reply.answer), reply.recognised)
    assert read == {code: (code, KINDS[rule.verdict], not rule.alarm) for code, rule in rules.items()}
    assert sandbox.ledger()["calls"] == 0


def test_a_code_that_is_not_the_providers_cannot_be_ordered(sandbox: Sandbox) -> None:
    for fault in ({"provider": "lisoloo", "code": "9999"}, {"code": "1502"}, {"provider": "lineserve"}):
        answer = sandbox.http.post("/_sandbox/faults", json={"kind": "refuse", **fault})
        assert (answer.status_code, "code is one of the provider's" in answer.json()["error"]) == (400, True)
