"""Which calls are strikes against a provider, and which put an end to a row of them."""

from __future__ import annotations

import pytest

from tuma_worker.core.answers import Accepted, AccountFault, Answer, Fault, Rejected, Reply, TryLater, Unknown
from tuma_worker.core.breaker import Breaker, Pulse, pulse

BREAKER = Breaker(slow_after=10.0)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Unknown("read-timeout"), None),
        (Unknown("1401"), 500),
        (TryLater("connect-error", left=False, unreachable=True), None),
        (TryLater("1402"), 503),
    ],
)
def test_a_call_without_a_usable_answer_is_a_strike(answer: Unknown | TryLater, status: int | None) -> None:
    assert pulse(Reply(answer, status), 0.1, BREAKER) == Pulse(answer.code)


@pytest.mark.parametrize(
    "answer", [Accepted("p"), Rejected("1105"), TryLater("1301", scope="account"), AccountFault("1202", Fault.MONEY)]
)
def test_an_answer_in_time_is_none_whatever_it_says(answer: Answer) -> None:
    assert pulse(Reply(answer, 200), 10.0, BREAKER) == Pulse()


def test_an_answer_that_took_too_long_is_a_strike() -> None:
    assert pulse(Reply(Accepted("p"), 201), 10.1, BREAKER) == Pulse("slow")


def test_a_carriers_refusal_of_one_message_is_no_strike_whatever_its_status() -> None:
    assert pulse(Reply(Rejected("1502"), 502), 0.1, BREAKER) == Pulse()


@pytest.mark.parametrize("code", ["lease-over", "deadline", "pool-timeout"])
def test_a_call_that_we_did_not_make_says_nothing(code: str) -> None:
    assert pulse(Reply(TryLater(code, left=False)), 60.0, BREAKER) is None
