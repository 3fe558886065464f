"""The page that says why an intent stands where it stands, as whoever is on call reads it."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuma_producer import Attempt, Explanation, Hold, Intent, Look, Recipient
from tuma_worker.core.explain import facts, page

NOW = datetime(2026, 11, 28, 10, 30, tzinfo=UTC)
NUMBERS = ("+243990000001", "+243990000002", "+243990000003")


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def intent(*recipients: Recipient, **more: Any) -> Intent:  # noqa: ANN401 - fields of Intent
    counts = {state: sum(one.state == state for one in recipients) for state in {one.state for one in recipients}}
    plain = {
        "id": "main.1a2b",
        "state": "active",
        "source": "billing",
        "priority": "bulk",
        "accepted": ago(minutes=12),
        "expires": None,
    }
    return Intent(**{**plain, "counts": counts, "recipients": recipients, **more})


def shown(told: Explanation) -> str:
    return "\n" + page(told)


def expect(text: str) -> str:
    return textwrap.dedent(text)


WAITING = Recipient(NUMBERS[0], "queued")


def test_what_waits_says_what_holds_it_since_when_what_lifts_that_and_when_it_will_go() -> None:
    held = Hold("priority-paused", "its priority is paused", ago(minutes=5, seconds=3), by="amina")
    limit = Hold("limit", "the limit is used up until 10:31", until=NOW + timedelta(minutes=1))
    told = Explanation(intent(WAITING, expires=NOW + timedelta(hours=2)), NOW, (held, limit), in_line=1, ahead=2345)
    assert shown(told) == expect("""
        main.1a2b: active, queued 1
          enqueued by billing as bulk at 2026-11-28 10:18:00 UTC, 12 min 0 s ago
          its deadline is at 2026-11-28 12:30:00 UTC, in 2 h 0 min

        Why it waits
          its priority is paused, for 5 min 3 s by amina; lifted by: tuma queue resume main --priority bulk
          the limit is used up until 10:31; goes by itself, as fast as the provider allows
          1 recipient in the line, 2345 of others go before the last of them
          nobody can tell when it goes, as long as it is held

        Where its recipients are
          1 recipient queued
    """)


@pytest.mark.parametrize(
    ("expected", "deadline", "says"),
    [
        (NOW, None, "expected to go now"),
        (NOW + timedelta(seconds=42), None, "expected to have gone by 2026-11-28 10:30:42 UTC, in 42 s"),
        (
            NOW + timedelta(days=2),
            NOW + timedelta(days=1),
            "expected to have gone by 2026-11-30 10:30:00 UTC, in 2 days 0 h: after its deadline",
        ),
    ],
)  # fmt: skip
def test_it_says_when_it_is_expected_and_whether_that_is_too_late(expected: datetime, deadline: datetime | None, says: str) -> None:
    told = Explanation(intent(WAITING, expires=deadline), NOW, in_line=1, expected=expected)
    assert f"  {says}\n" in page(told)


def test_every_attempt_is_told_with_its_answer_its_search_and_its_evidence() -> None:
    answered = Attempt("b1", "settled", ago(minutes=10), ago(minutes=10) + timedelta(seconds=0.31), "200", "msg_7")
    look = Look(ago(minutes=3), "one", "adopted", "msg_8")
    silent = Attempt("b2", "unknown", ago(minutes=5), awaited=ago(minutes=4), looks=(look,))
    recipients = (
        Recipient(NUMBERS[0], "delivered", evidence="handset", attempt="b1"),
        Recipient(NUMBERS[1], "failed", evidence="operator", reason="absent", attempt="b1"),
        Recipient(NUMBERS[2], "submitted", evidence="provider", attempt="b2"),
    )
    told = Explanation(intent(*recipients, attempts=(answered, silent)), NOW)
    assert shown(told) == expect("""
        main.1a2b: active, submitted 1, delivered 1, failed 1
          enqueued by billing as bulk at 2026-11-28 10:18:00 UTC, 12 min 0 s ago

        What was tried
          b1 at 2026-11-28 10:20:00 UTC: settled, took 0.3 s, answer 200, the provider calls it msg_7
            1 recipient delivered, says the handset
            1 recipient failed (absent), says the operator
          b2 at 2026-11-28 10:25:00 UTC: unknown
            no answer came; a receipt was awaited until 2026-11-28 10:26:00 UTC
            2026-11-28 10:27:00 UTC the provider's books have the call (msg_8); so it was taken
            1 recipient submitted, says the provider
    """)


def test_a_schedule_says_when_it_fires_next() -> None:
    told = Explanation(intent(parent="main.9f", next_firing=NOW + timedelta(days=1)), NOW)
    assert "  an occurrence of the schedule main.9f\n  fires next at 2026-11-29 10:30:00 UTC\n" in page(told)


def test_no_page_shows_a_number() -> None:
    whole = intent(*(Recipient(number, "queued") for number in NUMBERS))
    told = Explanation(whole, NOW, (Hold("later", "put off"),), in_line=3)
    text = str(facts(told))
    assert not any(number in text for number in NUMBERS)
    assert facts(replace(told, holds=()))["holds"] == []


def test_a_hold_of_a_kind_that_this_release_does_not_know_is_told_as_it_is() -> None:
    assert "  something new\n" in page(Explanation(intent(WAITING), NOW, (Hold("new", "something new"),)))
