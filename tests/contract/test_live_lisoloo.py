"""Against a real sandbox key of Lisoloo, where there is one: it only reads, so nothing is sent and nothing is spent.

`TUMA_LIVE_LISOLOO_KEY` is the key, an `sk_test_` one, and `TUMA_LIVE_LISOLOO_URL` its base URL as the dashboard shows it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from tuma_worker.providers import PROVIDERS
from tuma_worker.providers.http import Arrived, Http
from tuma_worker.providers.operations import NotDone, Request
from tuma_worker.settings import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY, URL = os.environ.get("TUMA_LIVE_LISOLOO_KEY", ""), os.environ.get("TUMA_LIVE_LISOLOO_URL", "")
pytestmark = pytest.mark.skipif(not KEY, reason="TUMA_LIVE_LISOLOO_KEY is not set")


@pytest.fixture
def exchange() -> Iterator[Callable[[Request], Arrived]]:
    assert URL, "TUMA_LIVE_LISOLOO_URL: set the base URL of the key's environment; none is documented"
    with Http() as http:
        # An account marked as sandbox refuses an `sk_live_` key.
        account = Account(provider="lisoloo", base_url=URL, api_key=SecretStr(KEY), environment="sandbox", timeout=10)
        caller = PROVIDERS["lisoloo"].caller(account, http)

        def ask(request: Request) -> Arrived:
            assert request.method == "GET", "only reading is allowed here"
            said = caller.call(request)
            if not isinstance(said, Arrived):
                raise NotDone(request, said)
            return said

        yield ask


def test_the_api_answers(exchange: Callable[[Request], Arrived]) -> None:
    assert PROVIDERS["lisoloo"].operation("health").do(exchange).works


def test_the_balance_is_told_with_all_that_is_documented(exchange: Callable[[Request], Arrived]) -> None:
    found = PROVIDERS["lisoloo"].operation("balance").do(exchange)
    assert None not in {found.balance, found.prepaid, found.postpaid, found.currency, found.unit_price, found.available_sms}


def test_an_unknown_message_is_not_found(exchange: Callable[[Request], Arrived]) -> None:
    with pytest.raises(NotDone) as missing:
        PROVIDERS["lisoloo"].operation("status").do(exchange, message_id="0" * 24)
    assert missing.value.not_found
