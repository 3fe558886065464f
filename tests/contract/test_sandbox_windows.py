"""The sandbox's limits: strict, of both kinds, and compared with the plainest possible count."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_worker.sandbox.settings import Limit
from tuma_worker.sandbox.windows import Windows

if TYPE_CHECKING:
    from tests.contract.conftest import Sandbox

_BODY = {"to": ["+243990000001"], "message": "hello"}
_KINDS = pytest.mark.parametrize("kind", ["sliding", "fixed"])


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4)), max_size=60),
    st.sampled_from(["sliding", "fixed"]),
    st.booleans(),
)
def test_no_window_of_either_kind_ever_admits_more_than_its_limit(
    steps: list[tuple[float, int]],
    kind: str,
    count_refused: bool,  # noqa: FBT001  hypothesis passes it by position
) -> None:
    limits, windows, now = [Limit(5, 4), Limit(8, 10)], Windows(), 1_000_000.0
    seen: list[tuple[float, int]] = []
    for pause, weight in steps:
        now += pause
        counted = [sum(w for t, w in seen if _counts(t, now, limit, kind)) for limit in limits]
        fits = all(used + weight <= limit.count for used, limit in zip(counted, limits, strict=True))
        verdict = windows.hit("key", "send", limits, kind=kind, now=now, weight=weight, count_refused=count_refused)
        assert verdict.allowed == fits
        assert (verdict.retry_after >= 1) == (not fits)
        if fits or count_refused:
            seen.append((now, weight))


def _counts(arrived: float, now: float, limit: Limit, kind: str) -> bool:
    if kind == "sliding":
        return arrived > now - limit.seconds
    return math.floor(arrived / limit.seconds) == math.floor(now / limit.seconds)


@_KINDS
def test_what_waits_as_long_as_it_was_told_fits(kind: str) -> None:
    limits, windows, now = [Limit(3, 60)], Windows(), 999_977.0  # 17 s into its minute
    for second in range(3):
        assert windows.hit("key", "send", limits, kind=kind, now=now + second, count_refused=False).allowed
    refused = windows.hit("key", "send", limits, kind=kind, now=now + 5, count_refused=False)
    assert refused.retry_after == {"sliding": 55, "fixed": 38}[kind]
    assert windows.hit("key", "send", limits, kind=kind, now=now + 5 + refused.retry_after, count_refused=False).allowed


@_KINDS
def test_lisoloo_refuses_the_call_after_the_last_allowed_one(sandbox: Sandbox, kind: str) -> None:
    sandbox.config(lisoloo={"window": kind, "limits": {"send": [{"count": 5, "seconds": 86_400}]}})
    statuses = [sandbox.lisoloo("POST", "/send", _BODY).status_code for _ in range(7)]
    assert statuses == [201] * 5 + [429] * 2
    ledger = sandbox.ledger()
    assert (ledger["calls"], ledger["rate_limited"], ledger["violations"]) == (5, 2, 2)
    assert ledger["requests"]["lisoloo"] == {"POST /send": {"201": 5, "429": 2}}


def test_lisoloo_says_how_long_to_wait_in_header_and_body(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"limits": {"send": [{"count": 1, "seconds": 60}]}})
    sandbox.lisoloo("POST", "/send", _BODY)
    refused = sandbox.lisoloo("POST", "/send", _BODY)
    assert (refused.json()["error_code"], refused.json()["retryable"]) == ("1301", True)
    assert 58 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json()["retry_after"] == int(refused.headers["Retry-After"])


def test_buckets_and_keys_have_windows_of_their_own(sandbox: Sandbox) -> None:
    one = [{"count": 1, "seconds": 60}]
    sandbox.config(lisoloo={"keys": {"sk_test_b": {"label": "b"}}, "limits": {"send": one, "status": one, "balance": one}})
    for key in ("sk_test_Sandbox0000000000000000000000000", "sk_test_b"):
        assert [sandbox.lisoloo("POST", "/send", _BODY, key=key).status_code for _ in range(2)] == [201, 429]
        assert [sandbox.lisoloo("GET", "/balance", key=key).status_code for _ in range(2)] == [200, 429]
        assert [sandbox.lisoloo("GET", "/status/none", key=key).status_code for _ in range(2)] == [404, 429]


def test_the_documented_limits_are_the_default(sandbox: Sandbox) -> None:
    answers = [sandbox.lisoloo("POST", "/send", _BODY).status_code for _ in range(61)]
    assert answers == [201] * 60 + [429]
    answers = [sandbox.lisoloo("GET", "/balance").status_code for _ in range(31)]
    assert answers == [200] * 30 + [429]
    answers = [sandbox.lineserve("GET", "/sms/messages").status_code for _ in range(101)]
    assert answers == [200] * 100 + [429]


def test_no_sliding_interval_holds_more_than_the_limit_while_a_client_hammers(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"count_refused": False, "limits": {"send": [{"count": 4, "seconds": 0.5}]}})
    _hammer_until(sandbox, 13)
    arrivals = [call["arrived_at"] for call in sandbox.ledger()["accepted"]]
    assert all(later - earlier >= 0.5 for earlier, later in zip(arrivals, arrivals[4:], strict=False))


def test_fixed_windows_are_aligned_to_the_clock(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"window": "fixed", "count_refused": False, "limits": {"send": [{"count": 4, "seconds": 0.5}]}})
    _hammer_until(sandbox, 13)
    windows = [math.floor(call["arrived_at"] / 0.5) for call in sandbox.ledger()["accepted"]]
    assert max(windows.count(window) for window in windows) == 4


def _hammer_until(sandbox: Sandbox, accepted: int) -> None:
    deadline = time.monotonic() + 20
    while accepted:
        accepted -= sandbox.lisoloo("POST", "/send", _BODY).status_code == 201
        assert time.monotonic() < deadline


def test_refused_calls_count_so_that_hammering_never_gets_through(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"limits": {"send": [{"count": 1, "seconds": 0.5}]}})
    end = time.monotonic() + 1.2
    statuses = []
    while time.monotonic() < end:
        statuses.append(sandbox.lisoloo("POST", "/send", _BODY).status_code)
    assert statuses.count(201) == 1


def test_early_retries_in_a_row_suspend_the_key_when_asked_for(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"suspicious_after": 3, "limits": {"send": [{"count": 1, "seconds": 60}]}})
    codes = [sandbox.lisoloo("POST", "/send", _BODY).json().get("error_code") for _ in range(6)]
    assert codes == [None, "1301", "1301", "1301", "1302", "1302"]
    assert sandbox.lisoloo("GET", "/balance").status_code == 403


def test_lineserve_tells_what_is_left_on_every_authenticated_answer(sandbox: Sandbox) -> None:
    sandbox.config(lineserve={"limits": {"requests": [{"count": 2, "seconds": 60}, {"count": 3, "seconds": 3600}]}})
    sent = sandbox.lineserve("POST", "/sms/bulk", {"recipients": ["+243990000001", "+243990000002"], "message": "hello"})
    assert (sent.headers["X-RateLimit-Limit"], sent.headers["X-RateLimit-Remaining"]) == ("3", "2")
    assert (sent.headers["X-SMS-Limit"], sent.headers["X-SMS-Remaining"]) == ("10000", "9998")
    assert 3590 < int(sent.headers["X-RateLimit-Reset"]) - time.time() <= 3601
    bad = sandbox.lineserve("POST", "/sms/send", {"to": "nonsense", "message": "hello"})
    assert (bad.status_code, bad.headers["X-RateLimit-Remaining"]) == (400, "1")
    refused = sandbox.lineserve("GET", "/sms/messages")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert "Retry-After" not in refused.headers
    assert "X-RateLimit-Limit" not in sandbox.lineserve("GET", "/sms/messages", key="wrong").headers


def test_lineserve_refuses_a_call_whose_messages_do_not_fit_the_quota(sandbox: Sandbox) -> None:
    sandbox.config(lineserve={"retry_after": True, "limits": {"sms": [{"count": 3, "seconds": 3600}]}})
    three = ["+243990000001", "+243990000002", "+243990000003"]
    assert sandbox.lineserve("POST", "/sms/bulk", {"recipients": three[:2], "message": "a"}).status_code == 200
    refused = sandbox.lineserve("POST", "/sms/bulk", {"recipients": three[:2], "message": "b"})
    assert (refused.status_code, refused.headers["X-SMS-Remaining"]) == (429, "1")
    assert 3590 < int(refused.headers["Retry-After"]) <= 3600
    assert sandbox.lineserve("POST", "/sms/send", {"to": three[2], "message": "c"}).status_code == 200
    assert sandbox.ledger()["violations"] == 1
