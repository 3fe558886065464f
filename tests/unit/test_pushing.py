"""What follows from a subscriber's answer, how messages to them are signed, and where none is sent."""

from __future__ import annotations

import base64
import hmac
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_worker.core.pushing import Endpoint, Meaning, PushAnswer, put_off
from tuma_worker.events.posting import Guard
from tuma_worker.events.signing import headers, new_secret

LONGEST = 1800.0


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (200, Meaning.TOLD), (204, Meaning.TOLD), (299, Meaning.TOLD), (301, Meaning.FAILED), (302, Meaning.FAILED),
        (400, Meaning.REFUSED), (401, Meaning.REFUSED), (408, Meaning.FAILED), (410, Meaning.GONE), (422, Meaning.REFUSED),
        (429, Meaning.FAILED), (500, Meaning.FAILED), (503, Meaning.FAILED), (None, Meaning.FAILED),
    ],
)  # fmt: skip
def test_only_a_success_is_taken_for_one(status: int | None, meaning: Meaning) -> None:
    assert PushAnswer(status, "timeout").meaning is meaning


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_failed_event_waits_at_least_half_of_what_it_may_and_never_too_long(tries: int, luck: float) -> None:
    waits = put_off(tries, PushAnswer(500), lambda most: most * luck)
    assert min(LONGEST, 5.0 * 2.0 ** min(tries - 1, 20)) / 2 <= waits <= LONGEST


def test_an_endpoint_that_says_for_how_long_is_left_alone_for_so_long() -> None:
    assert put_off(1, PushAnswer(503, retry_after=7200.0), lambda _: 0.0) == 7200.0
    endpoint = Endpoint()
    endpoint.fails(100.0, PushAnswer(429, retry_after=60.0), lambda _: 0.0)
    assert (endpoint.room(159.9, 4), endpoint.room(160.0, 4)) == (0, 4)


def test_an_endpoint_that_fails_five_times_in_a_row_is_tried_by_one_at_a_time_and_ever_more_seldom() -> None:
    endpoint, now, rests = Endpoint(), 0.0, []
    for _ in range(4):
        endpoint.fails(now, PushAnswer(500), lambda most: most)
    assert (endpoint.ails, endpoint.room(now, 4)) == (False, 4)
    for _ in range(10):
        endpoint.fails(now, PushAnswer(500), lambda most: most)
        rests.append(endpoint.rest(now))
        assert endpoint.room(now, 4) == 0
        now += endpoint.rest(now)
        assert endpoint.room(now, 4) == 1
    assert rests == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0]
    assert endpoint.works()
    assert (endpoint.ails, endpoint.room(now, 4)) == (False, 4)


def test_a_signature_is_that_of_the_standard_webhooks_scheme() -> None:
    """The signature was made by the reference library, `standardwebhooks` 1.1.0."""
    signed = headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )
    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_replaced_both_sign() -> None:
    old, new = new_secret(), new_secret()
    told = headers("lisoloo-main/1-0", 1, b"{}", [new, old])["webhook-signature"].split()
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in (new, old)]
    assert [len(key) for key in keys] == [32, 32]
    assert told == ["v1," + base64.b64encode(hmac.digest(key, b"lisoloo-main/1-0.1.{}", "sha256")).decode() for key in keys]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::",
    ],
)  # fmt: skip
def test_no_address_that_is_not_public_is_connected_to(address: str) -> None:
    assert not Guard().allows(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "197.155.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_connected_to(address: str) -> None:
    assert Guard().allows(address)


def test_private_networks_that_a_setting_names_are_connected_to_and_no_others() -> None:
    guard = Guard((ip_network("10.0.0.0/8"), ip_network("fd00::/16")))
    assert [guard.allows(address) for address in ("10.9.9.9", "::ffff:10.9.9.9", "fd00::1", "127.0.0.1", "fd01::1")] == [
        True, True, True, False, False,
    ]  # fmt: skip
