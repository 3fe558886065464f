"""Schedules that the provider keeps: handed over once, steered there, and told of truthfully. All parts are real processes.

The sandbox's clock for dates is put forward, so nobody waits for one; ours is not.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from tests.support.houses import open_house

from tuma_producer import At, Every
from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import House

    from tuma_producer import ControlResult, Intent
    from tuma_producer.results import Verb

DAY = 86_400
KINSHASA = ZoneInfo("Africa/Kinshasa")
TO = ("+243990000001", "+243990000002")
ACCOUNTS = (
    "main", "verbs", "early", "cancelled", "over", "missing", "hidden", "lost", "never", "verb-lost", "verb-mute", "during",
    "during-refused", "withdrawn", "shell", "halted", "every", "failing", "fuzz",
)  # fmt: skip
HASTY = {"provider": "lisoloo", "resolve_after": 1.0, "control_limits": ["600 calls/min"], "status_limits": ["600 calls/min"]}


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    with open_house(server, dict.fromkeys(ACCOUNTS, HASTY) | {"books": {"provider": "lineserve"}}) as found:
        found.start("worker", "--threads", "8").until("ready for action")
        yield found


def dates(house: House, *days: float) -> At:
    """Dates that lie so many days ahead by the sandbox's clock."""
    now = datetime.now(UTC) + timedelta(seconds=house.sandbox.ahead)
    return At(times=[(now + timedelta(days=one)).replace(second=0, microsecond=0) for one in days])


def handed_over(house: House, account: str, *days: float, **more: Any) -> str:  # noqa: ANN401 - fields of Send
    intent_id = house.send(account, *more.pop("to", TO), schedule=dates(house, *days), custody="provider", **more)
    house.until(intent_id, "intent.custody-handed-over")
    return intent_id


def message_id(house: House, intent_id: str) -> str:
    (attempt,) = house.producer.get(intent_id).attempts
    assert attempt.provider_id
    return attempt.provider_id


def steer(house: House, intent_id: str, verb: Verb) -> ControlResult:
    return {"pause": house.producer.pause, "resume": house.producer.resume, "cancel": house.producer.cancel}[verb](intent_id)


RESULTS = {"done", "too-late", "refused", "unsupported", "unknown"}


def conclusions(house: House, intent_id: str) -> int:
    """How many verbs about this intent have been concluded."""
    account, short_id = intent_id.split(".")
    raw: Any = house.redis.xrange(AccountKeys(account).events)
    fields = [one for _, one in raw if one.get(b"i") == short_id.encode()]
    return sum(one[b"e"].startswith(b"custody-") and one.get(b"w", b"").decode() in RESULTS for one in fields)


def until_concluded(house: House, intent_id: str, before: int) -> None:
    """Wait for the event that tells what became of a verb, after so many others."""
    for event in house.account_events(intent_id.rpartition(".")[0]):
        if event.intent == intent_id and event.type.startswith("tuma.intent.custody-") and event.reason in RESULTS:
            before -= 1
            if before < 0:
                return
    raise AssertionError(house.last_words())


def concluded(house: House, intent_id: str, verb: Verb) -> ControlResult:
    """Ask, wait for the event that tells what became of it, and ask again."""
    before = conclusions(house, intent_id)
    told = steer(house, intent_id, verb)
    assert told.outcome == "requested", told
    assert told.custody == {"pause": "pausing", "resume": "resuming", "cancel": "cancelling"}[verb]
    until_concluded(house, intent_id, before)
    return steer(house, intent_id, verb)


def custody(intent: Intent) -> tuple[str, str | None, str | None]:
    assert intent.custody is not None
    return intent.custody.state, intent.custody.asked, intent.custody.outcome


def counts(intent: Intent) -> list[tuple[int, int]]:
    return [(one.deliveries, one.failures) for one in intent.recipients]


# --------------------------------------------------------------------------------------------------------------- its story


def test_a_schedule_is_handed_over_in_one_call_and_ends_when_all_its_dates_have_been_told_of(house: House) -> None:
    intent_id = handed_over(house, "main", 1, 2)
    (call,) = house.sandbox.calls("main")
    assert (call["recipients"], call["dispatches"], house.sandbox.dispatches("main")) == (list(TO), 2, [])
    intent = house.producer.get(intent_id)
    assert (intent.state, intent.counts, custody(intent)) == ("scheduled", {"submitted": 2}, ("handed-over", None, None))
    house.sandbox.advance(DAY)
    house.until_events(intent_id, "recipient.counted", 2)
    intent = house.producer.get(intent_id)
    assert (intent.state, intent.counts, counts(intent)) == ("scheduled", {"sent": 2}, [(1, 0), (1, 0)])
    house.sandbox.advance(DAY)
    intent = house.done(intent_id)
    assert (intent.state, intent.counts, counts(intent)) == ("done", {"delivered": 2}, [(2, 0), (2, 0)])
    house.until(intent_id, "intent.custody-over")
    assert len(house.sandbox.calls("main")) == 1
    assert intent.schedule is not None
    sent_at = [one["scheduled_at"] for one in house.sandbox.dispatches("main")]
    assert sent_at == [firing.at.timestamp() for firing in intent.schedule.firings()]


def test_a_recurrence_is_handed_over_as_one(house: House) -> None:
    start = (datetime.now(KINSHASA) + timedelta(seconds=house.sandbox.ahead)).date() + timedelta(days=1)
    every = Every(frequency="daily", times=["08:00", "18:00"], start=start, end=start + timedelta(days=29), tz="Africa/Kinshasa")
    intent_id = house.send("every", *TO, schedule=every, custody="provider")
    house.until(intent_id, "intent.custody-handed-over")
    found = house.producer.get(intent_id).custody
    assert found is not None
    assert (found.dispatches, house.sandbox.calls("every")[0]["dispatches"]) == (60, 60)


def test_dates_of_which_some_failed_say_how_many_were_delivered(house: House) -> None:
    intent_id = handed_over(house, "failing", 1, 2, to=("+243990999901", "+243990000003"))
    house.sandbox.advance(2 * DAY)
    intent = house.done(intent_id)
    assert [(one.state, one.deliveries, one.failures) for one in intent.recipients] == [("delivered", 2, 0), ("undelivered", 0, 2)]


# ------------------------------------------------------------------------------------------------------------------- verbs


def test_pause_resume_and_cancel_are_requested_and_then_what_the_provider_made_of_them(house: House) -> None:
    intent_id = handed_over(house, "verbs", 1, 2)
    paused = concluded(house, intent_id, "pause")
    assert (paused.outcome, paused.custody, paused.stopped) == ("done", "paused", TO)
    assert (house.producer.get(intent_id).state, custody(house.producer.get(intent_id))) == ("paused", ("paused", "pause", "done"))
    resumed = concluded(house, intent_id, "resume")
    assert (resumed.outcome, resumed.custody, resumed.stopped) == ("done", "handed-over", TO)
    cancelled = concluded(house, intent_id, "cancel")
    assert (cancelled.outcome, cancelled.custody, cancelled.stopped) == ("done", "cancelled", TO)
    assert house.sandbox.steered(message_id(house, intent_id)) == ["pause", "resume", "cancel"]
    assert [steer(house, intent_id, verb).outcome for verb in ("cancel", "pause", "resume")] == ["done", "refused", "refused"]
    intent = house.done(intent_id)
    assert (intent.state, intent.counts) == ("cancelled", {"cancelled": 2})
    house.sandbox.advance(3 * DAY)
    assert house.sandbox.dispatches("verbs") == []


def test_a_cancel_after_some_dates_stops_the_others_and_says_so(house: House) -> None:
    intent_id = handed_over(house, "cancelled", 1, 2, 3)
    house.sandbox.advance(DAY)
    house.until_events(intent_id, "recipient.counted", 2)
    cancelled = concluded(house, intent_id, "cancel")
    assert (cancelled.outcome, cancelled.custody, cancelled.stopped) == ("partly", "cancelled", ())
    intent = house.done(intent_id)
    assert (intent.counts, counts(intent)) == ({"delivered": 2}, [(1, 0), (1, 0)])
    house.sandbox.advance(5 * DAY)
    assert len(house.sandbox.dispatches("cancelled")) == 1


def test_what_is_over_is_too_late_to_steer(house: House) -> None:
    intent_id = handed_over(house, "over", 1)
    house.sandbox.advance(DAY)
    house.until(intent_id, "intent.custody-over")
    assert [steer(house, intent_id, verb).outcome for verb in ("pause", "resume", "cancel")] == ["too-late"] * 3


@pytest.mark.parametrize("control", ["404", "405"])
def test_a_provider_without_the_verb_is_told_to_the_caller_with_what_to_do(house: House, control: str) -> None:
    intent_id = handed_over(house, "missing", 1)
    with house.sandbox.configured(lisoloo={"control": control}):
        told = concluded(house, intent_id, "pause")
    assert (told.outcome, told.custody) == ("unsupported", "handed-over")
    assert "custody worker" in (told.advice or "")
    assert (house.producer.get(intent_id).state, house.sandbox.steered(message_id(house, intent_id))) == ("scheduled", [])


def test_a_provider_that_does_not_show_what_is_paused_is_believed_its_answer(house: House) -> None:
    intent_id = handed_over(house, "hidden", 1)
    with house.sandbox.configured(lisoloo={"status_tells_control": False}):
        assert [concluded(house, intent_id, verb).outcome for verb in ("pause", "resume")] == ["done", "done"]


# -------------------------------------------------------------------------------------------------------- unknown outcomes


def test_a_hand_over_whose_answer_is_lost_is_known_by_its_receipt_and_can_be_steered(house: House) -> None:
    house.sandbox.arm("accept_then_reset", to=list(TO))
    intent_id = handed_over(house, "lost", 1)
    assert concluded(house, intent_id, "cancel").outcome == "done"
    assert (len(house.sandbox.calls("lost")), house.sandbox.steered(message_id(house, intent_id))) == (1, ["cancel"])


def test_a_hand_over_of_which_nothing_is_heard_is_never_made_twice(house: House) -> None:
    house.sandbox.arm("accept_then_reset", receipts="none", to=list(TO))
    intent_id = house.send("never", *TO, schedule=dates(house, 1), custody="provider")
    intent = house.done(intent_id)
    house.until(intent_id, "intent.custody-unknown-at-provider")
    assert (intent.counts, len(house.sandbox.calls("never"))) == ({"unknown": 2}, 1)
    told = steer(house, intent_id, "cancel")
    assert (told.outcome, told.custody) == ("unknown", "unknown-at-provider")


@pytest.mark.parametrize("fault", ["accept_then_reset", "accept_then_500", "html_200"])
def test_a_verb_whose_answer_is_lost_is_read_back(house: House, fault: str) -> None:
    intent_id = handed_over(house, "verb-lost", 1)
    house.sandbox.arm(fault, operation="cancel")
    assert concluded(house, intent_id, "cancel").outcome == "done"
    assert house.sandbox.steered(message_id(house, intent_id)) == ["cancel"]


def test_a_verb_that_cannot_be_read_back_is_unknown_until_the_next_one(house: House) -> None:
    intent_id = handed_over(house, "verb-mute", 1)
    house.sandbox.arm("reset_after_reading", operation="pause")
    before = conclusions(house, intent_id)
    assert steer(house, intent_id, "pause").outcome == "requested"
    until_concluded(house, intent_id, before)
    assert custody(house.producer.get(intent_id)) == ("unknown-at-provider", "pause", "unknown")
    assert concluded(house, intent_id, "pause").custody == "paused"
    assert house.sandbox.steered(message_id(house, intent_id)) == ["pause"]


def test_a_verb_that_the_provider_puts_off_is_asked_for_again(house: House) -> None:
    intent_id = handed_over(house, "halted", 1)
    house.sandbox.arm("rate_limit", operation="pause", retry_after=1)
    assert concluded(house, intent_id, "pause").outcome == "done"


LOST = ("accept_then_reset", "accept_then_500", "html_200", "wrong_json", "reset_after_reading", "reset_before_reading")


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_lost_what_is_told_agrees_with_the_providers_books(house: House, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - dice that can be repeated, not a secret
    intent_id = handed_over(house, "fuzz", 1)
    provider_id = message_id(house, intent_id)
    verbs: tuple[Verb, ...] = ("pause", "resume")
    for _ in range(12):
        verb = dice.choice(verbs)
        for operation in (verb, "status"):
            if dice.random() < 0.5:
                house.sandbox.arm(dice.choice(LOST), operation=operation)
        before = conclusions(house, intent_id)
        if steer(house, intent_id, verb).outcome == "requested":
            until_concluded(house, intent_id, before)
        house.sandbox.disarm()
        told = custody(house.producer.get(intent_id))[0]
        really = "paused" if house.sandbox.steered(provider_id)[-1:] == ["pause"] else "handed-over"
        assert told in {really, "unknown-at-provider"}
    assert concluded(house, intent_id, "cancel").outcome == "done"
    assert (house.sandbox.steered(provider_id)[-1], house.done(intent_id).state) == ("cancel", "cancelled")


# ------------------------------------------------------------------------------------------------------ during the hand-over


def test_what_is_asked_for_during_the_hand_over_is_applied_after_it(house: House) -> None:
    house.sandbox.arm("accept_then_hang", to=["+243990000011"], seconds=1.5, receipts="late")
    intent_id = house.send("during", "+243990000011", schedule=dates(house, 1), custody="provider")
    house.until(intent_id, "recipient.sending")
    house.sandbox.until_calls("during")
    told = steer(house, intent_id, "pause")
    assert (told.outcome, told.custody) == ("requested", "handing-over")
    assert steer(house, intent_id, "pause").outcome == "requested"
    house.until(intent_id, "intent.custody-paused")
    assert (steer(house, intent_id, "pause").outcome, house.sandbox.steered(message_id(house, intent_id))) == ("done", ["pause"])


def test_what_is_cancelled_while_a_hand_over_is_refused_is_cancelled_here(house: House) -> None:
    with house.sandbox.configured(latency_ms=800):
        house.sandbox.arm("refuse_503", to=["+243990000012"])
        intent_id = house.send("during-refused", "+243990000012", schedule=dates(house, 1), custody="provider")
        house.until(intent_id, "recipient.sending")
        told = steer(house, intent_id, "cancel")
    assert told.outcome in {"requested", "done"}
    assert house.done(intent_id).counts == {"cancelled": 1}
    house.until(intent_id, "intent.custody-not-handed-over")
    assert house.sandbox.calls("during-refused") == []


def test_what_waits_for_the_hand_over_is_withdrawn_without_the_provider(house: House) -> None:
    assert house.tuma("queue", "pause", "withdrawn.send").status == 0
    intent_id = house.send("withdrawn", *TO, schedule=dates(house, 1), custody="provider")
    assert [steer(house, intent_id, verb).outcome for verb in ("pause", "resume", "cancel")] == ["done"] * 3
    intent = house.done(intent_id)
    assert (intent.state, custody(intent)[0]) == ("cancelled", "not-handed-over")
    assert [steer(house, intent_id, verb).outcome for verb in ("cancel", "pause")] == ["done", "refused"]


# -------------------------------------------------------------------------------------------------------------- the shell


def test_from_the_shell(house: House) -> None:
    day = datetime.now(KINSHASA) + timedelta(days=2, seconds=house.sandbox.ahead)
    arguments = (
        "send",
        "--account",
        "shell",
        "--to",
        TO[0],
        "--message",
        "Good day.",
        "--custody",
        "provider",
        "--tz",
        "Africa/Kinshasa",
        "--campaign",
        "summer",
    )
    ran = house.tuma(*arguments, "--at", f"{day:%Y-%m-%dT%H:%M}", "--json")
    intent_id = json.loads(ran.out)["id"]
    house.until(intent_id, "intent.custody-handed-over")
    shown = house.tuma("get", intent_id).out
    assert "at the provider: handed-over, 1 dispatch" in shown
    assert house.tuma("pause", intent_id).out.startswith(f"{intent_id}: pause requested")
    house.until(intent_id, "intent.custody-paused")
    assert house.tuma("pause", intent_id).out.strip() == f"{intent_id}: pause done: 1 paused, paused at the provider"
    assert json.loads(house.tuma("get", intent_id, "--json").out)["custody"]["state"] == "paused"
    steered = house.tuma("cancel", "--account", "shell", "--campaign", "summer")
    asked = "1 intent, 1 with the provider, the provider is being asked about 1 schedule"
    assert (steered.status, steered.out) == (0, f"summer: cancel requested: {asked}\n")
    edited = house.tuma("schedule", "edit", intent_id, "--message", "Good night.")
    assert (edited.status, "the provider keeps its dates and cannot change them" in edited.err) == (2, True)
    refused = house.tuma(*arguments, "--every", "seconds", "--interval", "60", "--start", "2030-01-01T00:00Z")
    assert (refused.status, refused.out) == (2, "")
    assert "frequency: with custody provider must be" in refused.err
    past = house.tuma(*arguments, "--at", f"{datetime.now(KINSHASA):%Y-%m-%dT%H:%M}")
    assert "times: with custody provider must lie at least 120 seconds ahead" in past.err
    books = house.tuma("send", "--account", "books", *arguments[3:], "--at", f"{day:%Y-%m-%dT%H:%M}")
    assert (books.status, "custody: must be worker: the account's provider keeps no schedules" in books.err) == (2, True)
