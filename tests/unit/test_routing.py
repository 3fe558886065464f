"""How a send is split by a route."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_producer import InvalidSend, Send, UnknownRoute
from tuma_producer.contract import routing
from tuma_producer.contract.routing import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

CONGO, KENYA, NAIROBI, REST = ("lisoloo-main", "lisoloo-spare"), ("lineserve-main",), ("nairobi", "lineserve-main"), ("world",)
TABLE = {"+243": CONGO, "+254": KENYA, "+25420": NAIROBI, "*": REST}


def sends(*to: str, table: Mapping[str, tuple[str, ...]] = TABLE, **fields: Any) -> list[Send]:  # noqa: ANN401 - fields of Send
    return Route("everybody", table).sends(list(to), {"message": "Hello", **fields})


def test_each_list_of_accounts_has_one_send_with_its_numbers_in_their_order() -> None:
    found = sends("+254700000001", "+243990000002", "+33612345678", "+243990000001", "+254700000001", "+254201234567")
    assert [(send.account, send.failover, send.to) for send in found] == [
        ("lineserve-main", (), ["+254700000001", "+254700000001"]),
        ("lisoloo-main", ("lisoloo-spare",), ["+243990000002", "+243990000001"]),
        ("world", (), ["+33612345678"]),
        ("nairobi", ("lineserve-main",), ["+254201234567"]),
    ]


def test_prefixes_with_the_same_list_share_one_send() -> None:
    (found,) = sends("+243990000001", "+242060000001", table={"+243": CONGO, "+242": CONGO})
    assert (found.account, found.to) == ("lisoloo-main", ["+243990000001", "+242060000001"])


def test_a_number_is_read_as_a_send_reads_it() -> None:
    (found,) = Route("everybody", TABLE).sends("00243 99 000-00-01", {"message": "Hello"})
    assert (found.account, found.to) == ("lisoloo-main", ["+243990000001"])


def test_every_other_field_is_as_it_was_given() -> None:
    fields: dict[str, Any] = {"sender_id": "KITOKO", "priority": "bulk", "idempotency_key": "june", "metadata": {"invoice": "7"}}
    found = sends("+243990000001", "+254700000001", **fields)
    assert [send.model_dump(include=set(fields)) for send in found] == [fields, fields]


def test_a_number_without_a_prefix_is_refused_by_its_place_and_not_shown() -> None:
    with pytest.raises(InvalidSend) as raised:
        sends("+243990000001", "+33612345678", table={"+254": KENYA, "+243": CONGO})
    assert str(raised.value) == (
        "to: entry 1: +336…78 begins with no prefix of route 'everybody' (+243, +254); leave it out, or have the route extended"
    )
    assert raised.value.field == "to"


@pytest.mark.parametrize(
    ("to", "fields", "reason"),
    [
        (["+243990000001", "+24399x"], {}, "to: entry 1: "),
        ([], {}, "to: must be a phone number or a list"),
        (["+243990000001"], {"priority": "urgent"}, "priority: "),
        (["+243990000001"], {"colour": "red"}, "colour: "),
        (["+243990000001"], {"account": "lisoloo-main"}, "account: is chosen by the route; leave it out"),
        (["+243990000001"], {"failover": ["lisoloo-spare"]}, "failover: is chosen by the route; leave it out"),
    ],
)
def test_what_breaks_a_rule_of_a_send_is_refused(to: list[str], fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidSend, match=f"^{reason}"):
        sends(*to, **fields)


PREFIXES = st.text("123", min_size=1, max_size=4).map("+".__add__)
NUMBERS = st.lists(st.text("123", min_size=8, max_size=10).map("+".__add__), min_size=1, max_size=20)


@given(st.sets(PREFIXES, max_size=6), NUMBERS)
def test_every_number_goes_once_by_the_longest_prefix_that_it_begins_with(prefixes: set[str], numbers: list[str]) -> None:
    table = {prefix: (f"p{prefix[1:]}",) for prefix in prefixes} | {"*": ("rest",)}
    by_account = {send.account: send.to for send in sends(*numbers, table=table)}
    assert sorted(itertools.chain(*by_account.values())) == sorted(numbers)
    for account, to in by_account.items():
        for number in to:
            fitting = [prefix for prefix in prefixes if number.startswith(prefix)]
            assert account == (f"p{max(fitting, key=len)[1:]}" if fitting else "rest")


def test_a_route_is_read_as_it_was_published() -> None:
    routes = {b"everybody": routing.published(TABLE).encode(), b"b": b"{}", b"a": b"{}"}
    assert routing.named("everybody", routes) == Route("everybody", TABLE)
    with pytest.raises(UnknownRoute, match=r"^route: 'nobody' is not configured \(known: a, b, everybody\)$"):
        routing.named("nobody", routes)
    with pytest.raises(UnknownRoute, match="none yet; start a worker"):
        routing.named("nobody", {})
