"""`tuma tokens`: made and shown once, listed, replaced with an overlap, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuma_producer.contract.keys import TOKENS

if TYPE_CHECKING:
    from redis import Redis
    from tests.e2e.conftest import Tuma

ADD = ("tokens", "add", "billing-prod", "--source", "billing", "--scope", "read", "--scope", "send")


def test_a_token_is_shown_once_and_listed_without_itself(tuma: Tuma) -> None:
    token = tuma(*ADD).out.strip()
    assert token.startswith("tuma_")
    assert len(token) == 48
    (listed,) = tuma("tokens", "list", "--json").json
    assert listed.pop("created")
    assert listed == {"name": "billing-prod", "source": "billing", "scopes": ["send", "read"], "expires": None, "rate": None}
    shown = tuma("tokens", "list").out
    assert "billing-prod" in shown
    assert token not in shown


def test_there_is_one_token_of_a_name_until_its_time_is_over_or_it_is_removed(tuma: Tuma, redis: Redis) -> None:
    assert tuma(*ADD).status == 0
    ran = tuma(*ADD)
    assert (ran.status, ran.err) == (2, "error: NAME: there is a token 'billing-prod'; rotate it, or remove it first\n")
    assert tuma("tokens", "rotate", "billing-prod", "--overlap", "0").status == 0
    assert len(tuma("tokens", "list", "--json").json) == 1
    assert redis.hlen(TOKENS) == 1  # the one whose time is over was forgotten
    assert tuma("tokens", "remove", "billing-prod").out == "token billing-prod is removed\n"
    assert tuma("tokens", "list").out == "there is no token yet; make one with: tuma tokens add\n"
    assert tuma(*ADD).status == 0


def test_a_rotation_never_puts_an_end_off(tuma: Tuma) -> None:
    tuma(*ADD, "--expires-in", "60")
    tuma("tokens", "rotate", "billing-prod", "--overlap", "3600")
    old, new = tuma("tokens", "list", "--json").json
    assert old["expires"] == new["expires"]
    tuma("tokens", "rotate", "billing-prod", "--overlap", "5")
    ends = [one["expires"] for one in tuma("tokens", "list", "--json").json]
    assert ends[0] == ends[1] < ends[2]


@pytest.mark.parametrize("verb", ["rotate", "remove"])
def test_an_unknown_token_is_one_line_and_status_1(tuma: Tuma, verb: str) -> None:
    ran = tuma("tokens", verb, "nobody")
    assert (ran.status, ran.out, ran.err) == (1, "", "error: token: 'nobody' is not known\n")
