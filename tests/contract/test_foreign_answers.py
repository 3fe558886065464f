"""What providers answer to questions and operations, whatever its values are: it is read or it is `NotDone`, and nothing else."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
from tests.contract.canned import TOLD
from tests.contract.mutants import swaps

from tuma_worker.core.polling import Overdue, Silent
from tuma_worker.providers import named
from tuma_worker.providers.http import Arrived
from tuma_worker.providers.operations import NotDone
from tuma_worker.providers.reading import json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuma_worker.providers.operations import Exchange
    from tuma_worker.providers.provider import Inquire

GIVEN: dict[str, Any] = {
    "message_id": "m1", "campaign_id": "c1", "list_id": "l", "to": "+243990000001", "template_id": "t", "variables": {},
    "sender_id": "KITOKO", "kind": "alphanumeric", "countries": ["CD"], "use_case": "x", "business_name": "b", "name": "n",
    "content": "c", "phone": "+243990000001", "url": "https://x.example", "contacts": [{"phone": "+243990000001"}],
}  # fmt: skip
OVERDUE = [
    Overdue("b1", "m1", 1_747_735_200_000, "Karibu", 2, {"+243990000001": Silent("i", "m1"), "+243990000002": Silent("i", "")}, {}),
    Overdue("b2", "m2", 1_747_735_200_000, "Karibu", 1, {"+243990000001": Silent("i", "m1")}, {}),
]


def questions(provider: str) -> Iterator[Callable[[Exchange], object]]:
    """All that is ever asked of the provider."""
    found = named(provider)
    for operation in found.operations:
        given = {one.name: GIVEN[one.name] for one in operation.parameters if one.required or one.name == "variables"}
        yield partial(operation.do, **given)
    if found.ask_balance:
        yield found.ask_balance
    if found.opt_outs:
        yield found.opt_outs.read
    if found.inquire:
        yield partial(_inquire, found.inquire)


def _inquire(inquire: Inquire, exchange: Exchange) -> object:
    return inquire(exchange, OVERDUE)


def _answered(arrived: Arrived) -> Exchange:
    return lambda _: arrived


def test_each_value_of_an_answer_to_a_question_may_be_anything(provider: str) -> None:
    asked = list(questions(provider))
    headers = httpx.Headers({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1747735260"})
    for body in swaps(json.dumps(TOLD).encode()):
        arrived = Arrived(200, headers, json_object(body) or {})
        for ask in asked:
            with suppress(NotDone):
                told = ask(_answered(arrived))
                if isinstance(told, Iterator):
                    list(itertools.islice(told, 5))
