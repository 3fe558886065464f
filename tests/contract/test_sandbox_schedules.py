"""Lisoloo's stand-in: sends for later, and cancel, pause and resume."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Receiver, Sandbox

KINSHASA = ZoneInfo("Africa/Kinshasa")
DAY = 86_400
TO = ["+243990000001", "+243990000002"]
BODY: dict[str, Any] = {"to": TO, "message": "hello", "sender_id": "KITOKO"}


def pair(ahead: timedelta, zone: ZoneInfo = KINSHASA) -> dict[str, str]:
    """A date and time that lie so far ahead, to the minute."""
    local = datetime.now(zone) + ahead
    return {"date": f"{local:%Y-%m-%d}", "time": f"{local:%H:%M}"}


def dates(*days: float) -> dict[str, Any]:
    return {**BODY, "sending_type": "scheduled", "scheduled_dates": [pair(timedelta(days=one)) for one in days]}


def every(start: str, end: str, **more: object) -> dict[str, Any]:
    recurrence = {"start_date": start, "end_date": end, "frequency": "daily", "interval": 1, "times": ["08:00"], **more}
    return {**BODY, "sending_type": "recurring", "recurring_schedule": recurrence}


def accepted(sandbox: Sandbox, body: dict[str, Any]) -> dict[str, Any]:
    answer = sandbox.lisoloo("POST", "/send", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"])


def refused(sandbox: Sandbox, body: dict[str, Any]) -> tuple[str, str]:
    told = sandbox.lisoloo("POST", "/send", body).json()
    return told["error_code"], told["details"][0]["field"]


def advance(sandbox: Sandbox, days: float) -> None:
    assert sandbox.http.post("/_sandbox/clock", json={"advance": days * DAY}).status_code == 200


def status(sandbox: Sandbox, message_id: str) -> str:
    return str(sandbox.lisoloo("GET", f"/status/{message_id}").json()["data"]["status"])


def dispatches(sandbox: Sandbox, message_id: str) -> int:
    return sum(one["provider_id"] == message_id for one in sandbox.ledger()["dispatches"])


def steer(sandbox: Sandbox, verb: str, message_id: str) -> int:
    return sandbox.lisoloo("DELETE" if verb == "cancel" else "POST", f"/{verb}/{message_id}").status_code


# What is accepted, and what it costs.


def test_all_dates_are_paid_for_at_once_and_one_id_covers_them(sandbox: Sandbox) -> None:
    before = sandbox.lisoloo("GET", "/balance").json()["data"]["balance"]
    told = accepted(sandbox, dates(1, 2, 3))
    assert (told["status"], told["sending_type"], told["total_recipients"], told["total_messages"]) == (
        "scheduled",
        "scheduled",
        2,
        6,
    )
    assert told["total_cost"] == pytest.approx(0.12)
    assert sandbox.lisoloo("GET", "/balance").json()["data"]["balance"] == pytest.approx(before - 0.12)
    assert status(sandbox, told["message_id"]) == "scheduled"


RECURRENCES = {
    "daily": (every("2030-06-01", "2030-06-10"), 10),
    "twice a day, every third": (every("2030-06-01", "2030-06-10", interval=3, times=["08:00", "18:00"]), 8),
    "weekly": (every("2030-06-03", "2030-12-30", frequency="weekly"), 31),
    "monthly from the 31st": (every("2030-01-31", "2030-04-30", frequency="monthly"), 4),
    "yearly from 29 February": (every("2028-02-29", "2032-02-29", frequency="yearly"), 5),
}


@pytest.mark.parametrize(("body", "count"), RECURRENCES.values(), ids=RECURRENCES)
def test_a_recurrence_is_expanded_when_it_is_accepted(sandbox: Sandbox, body: dict[str, Any], count: int) -> None:
    assert accepted(sandbox, body)["total_messages"] == count * 2


def test_whether_the_last_day_counts_is_a_switch(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"end_inclusive": False})
    assert accepted(sandbox, every("2030-06-01", "2030-06-10"))["total_messages"] == 9 * 2


MISTAKES = {
    "another type": ({**BODY, "sending_type": "sometimes"}, ("1105", "sending_type")),
    "no dates": ({**BODY, "sending_type": "scheduled"}, ("1106", "scheduled_dates")),
    "too many dates": (dates(*range(1, 22)), ("1106", "scheduled_dates")),
    "a past date": (dates(1, -1), ("1106", "scheduled_dates[1]")),
    "a date beyond the horizon": (dates(400), ("1106", "scheduled_dates[0]")),
    "a malformed time": (dates() | {"scheduled_dates": [{"date": "2030-01-01", "time": "8:00"}]}, ("1106", "scheduled_dates[0]")),
    "dates of an immediate send": (dates(1) | {"sending_type": "immediate"}, ("1110", "scheduled_dates")),
    "dates and a recurrence": (dates(1) | {"recurring_schedule": {}}, ("1110", "recurring_schedule")),
    "no end": (every("2030-06-01", ""), ("1107", "recurring_schedule.end_date")),
    "no interval": (every("2030-06-01", "2030-07-01", interval=0), ("1107", "recurring_schedule.interval")),
    "another frequency": (every("2030-06-01", "2030-07-01", frequency="hourly"), ("1107", "recurring_schedule.frequency")),
    "no times": (every("2030-06-01", "2030-07-01", times=[]), ("1107", "recurring_schedule.times")),
    "nothing to come": (every("2020-06-01", "2020-07-01"), ("1107", "recurring_schedule")),
}  # fmt: skip


@pytest.mark.parametrize(("body", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_broken_rule_of_schedules_names_code_and_field(sandbox: Sandbox, body: dict[str, Any], told: tuple[str, str]) -> None:
    assert refused(sandbox, body) == told
    assert sandbox.ledger()["calls"] == 0


def test_a_time_that_the_clock_leaves_out_is_1110(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"timezone": "Europe/Paris", "horizon": 0})
    gap = {**BODY, "sending_type": "scheduled", "scheduled_dates": [{"date": "2030-03-31", "time": "02:30"}]}
    assert refused(sandbox, gap) == ("1110", "scheduled_dates[0]")


def test_sends_for_later_can_be_switched_off(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"sends_for_later": False})
    assert refused(sandbox, dates(1)) == ("1105", "sending_type")


# When it goes out.


def test_each_date_is_a_dispatch_at_its_time_by_the_sandboxes_clock(sandbox: Sandbox, receiver: Receiver) -> None:
    told = accepted(sandbox, dates(1, 2) | {"callback_url": receiver.url})
    queued = receiver.wait_for(1)[0].event
    assert (queued["event_type"], queued["data"]["total_messages"]) == ("sms.queued", 4)
    first = datetime.fromisoformat(queued["data"]["scheduled_at"])
    assert abs(first - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=2)
    assert dispatches(sandbox, told["message_id"]) == 0
    advance(sandbox, 1)
    receiver.wait_for(7)
    (one,) = sandbox.ledger()["dispatches"]
    assert (one["scheduled_at"], one["recipients"], one["message"]) == (first.timestamp(), TO, "hello")
    assert status(sandbox, told["message_id"]) == "scheduled"
    advance(sandbox, 1)
    events = [one.event["event_type"] for one in receiver.wait_for(13)]
    assert {name: events.count(name) for name in events} == {
        "sms.queued": 1,
        "sms.processing": 4,
        "sms.sent": 4,
        "sms.delivered": 4,
    }
    assert status(sandbox, told["message_id"]) == "delivered"
    ledger = sandbox.ledger()
    assert (ledger["calls"], ledger["recipients"], ledger["dispatched"], ledger["duplicates"]) == (1, 2, 4, 0)


@pytest.mark.parametrize("body", ["no json", '{"advance": -1}', '{"advance": "soon"}', '{"advance": 1e300}', "[]"])
def test_the_clock_goes_forward_only(sandbox: Sandbox, body: str) -> None:
    assert sandbox.http.post("/_sandbox/clock", content=body).status_code == 400


# Cancel, pause, resume.


def test_what_falls_into_a_pause_is_skipped_and_the_rest_goes_out(sandbox: Sandbox) -> None:
    told = accepted(sandbox, dates(1, 2, 3))["message_id"]
    assert (steer(sandbox, "pause", told), status(sandbox, told)) == (200, "paused")
    advance(sandbox, 2)
    assert (steer(sandbox, "resume", told), status(sandbox, told)) == (200, "scheduled")
    advance(sandbox, 1)
    assert dispatches(sandbox, told) == 1
    assert [one["verb"] for one in sandbox.ledger()["steered"]] == ["pause", "resume"]


def test_what_is_cancelled_never_goes_out(sandbox: Sandbox) -> None:
    told = accepted(sandbox, dates(1, 2))["message_id"]
    advance(sandbox, 1)
    assert (steer(sandbox, "cancel", told), status(sandbox, told)) == (200, "cancelled")
    advance(sandbox, 5)
    assert dispatches(sandbox, told) == 1


def test_a_wrong_state_is_409_and_an_unknown_id_404(sandbox: Sandbox) -> None:
    told = accepted(sandbox, dates(1))["message_id"]
    assert steer(sandbox, "resume", told) == 409
    assert steer(sandbox, "cancel", told) == 200
    assert [steer(sandbox, verb, told) for verb in ("cancel", "pause", "resume")] == [409] * 3
    assert steer(sandbox, "pause", "0" * 24) == 404
    at_once = accepted(sandbox, BODY)["message_id"]
    assert steer(sandbox, "cancel", at_once) == 409
    over = accepted(sandbox, dates(1))["message_id"]
    advance(sandbox, 2)
    assert steer(sandbox, "cancel", over) == 409


def test_what_nobody_knows_of_control_are_switches(sandbox: Sandbox) -> None:
    told = accepted(sandbox, dates(1))["message_id"]
    for missing in ("404", "405"):
        sandbox.config(lisoloo={"control": missing})
        assert steer(sandbox, "cancel", told) == int(missing)
    sandbox.config(lisoloo={"control": "there", "status_tells_control": False, "control_status": 202, "repeat_succeeds": True})
    assert (steer(sandbox, "pause", told), steer(sandbox, "pause", told), status(sandbox, told)) == (202, 202, "scheduled")
    sandbox.config(lisoloo={"wrong_state_status": 422, "repeat_succeeds": False})
    assert steer(sandbox, "pause", told) == 422


def test_a_refund_is_a_switch(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"refund": True})
    before = sandbox.lisoloo("GET", "/balance").json()["data"]["balance"]
    told = accepted(sandbox, dates(1, 2))["message_id"]
    advance(sandbox, 1)
    steer(sandbox, "cancel", told)
    assert sandbox.lisoloo("GET", "/balance").json()["data"]["balance"] == pytest.approx(before - 0.04)


def test_control_has_limits_of_its_own_and_its_faults(sandbox: Sandbox) -> None:
    told = accepted(sandbox, dates(1))["message_id"]
    sandbox.arm("accept_then_500", operation="pause")
    assert (steer(sandbox, "pause", told), status(sandbox, told)) == (500, "paused")
    sandbox.config(lisoloo={"limits": {"resume": [{"count": 1, "seconds": 60}]}})
    assert [steer(sandbox, "resume", told), steer(sandbox, "resume", told)] == [200, 429]


# Sends that are held back for a while.


@pytest.mark.parametrize(
    "body", [*(BODY | {"cancel_within": bad} for bad in (0, 3601, "30", True)), dates(1) | {"cancel_within": 30}]
)
def test_where_sends_are_held_back_it_is_for_whole_seconds_and_without_dates(sandbox: Sandbox, body: dict[str, Any]) -> None:
    sandbox.config(lisoloo={"cancel_within": True})
    assert refused(sandbox, body) == ("1110", "cancel_within")
