"""The client's schedules against the sandbox, which shares no code with it: what goes out when, and what verbs come to."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr
from tests.contract.canned import InventedAccount, Tin, canned
from tests.contract.conftest import LISOLOO_KEY

from tuma_producer import At, Every
from tuma_worker.core.answers import Accepted, Rejected
from tuma_worker.core.custody import Shown, Sighting, Steered, Told
from tuma_worker.providers import lisoloo
from tuma_worker.providers.base import Call
from tuma_worker.providers.http import Http
from tuma_worker.providers.lisoloo.schedules import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.conftest import Sandbox

    from tuma_producer.results import Verb
    from tuma_producer.schedules import Schedule
    from tuma_worker.providers.base import Client, Custodian

TO = ["+243990000001", "+243990000002"]
ZONE = "Africa/Kinshasa"


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http(10) as made:
        yield made


def custodian(url: str, http: Http, **more: Any) -> Custodian:  # noqa: ANN401 - settings of the account
    assert lisoloo.PROVIDER.custodian is not None
    return lisoloo.PROVIDER.custodian(InventedAccount(url, SecretStr(LISOLOO_KEY), **more), http)


@pytest.fixture
def client(sandbox: Sandbox, http: Http) -> Custodian:
    return custodian(f"{sandbox.url}/lisoloo", http)


def sent(client: Custodian, seconds: int | None) -> str:
    """An immediate send, for so many seconds to be held back."""
    reply = cast("Client", client).send(Call(TO, "hello", "KITOKO", "batch-1", cancel_within=seconds))
    assert isinstance(reply.answer, Accepted), reply
    return reply.answer.provider_id


def handed_over(client: Custodian, schedule: Schedule) -> str:
    reply = client.hand_over(Call(TO, "hello", "KITOKO", "batch-1"), schedule)
    assert isinstance(reply.answer, Accepted), reply
    return reply.answer.provider_id


def test_a_call_that_is_held_back_for_a_while_can_be_withdrawn(client: Custodian, sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"cancel_within": True})
    withdrawn, kept = (sent(client, 30), sent(client, 30))
    assert client.steer("pause", withdrawn).told is Told.REFUSED  # there is no date to pass by
    assert client.steer("cancel", withdrawn) == Steered(Told.DONE)
    assert (client.standing(withdrawn).shown, client.standing(kept).shown) == (Shown.CANCELLED, Shown.WAITING)
    sandbox.http.post("/_sandbox/clock", json={"advance": 31})
    assert [one["provider_id"] for one in sandbox.ledger()["dispatches"]] == [kept]
    assert client.steer("cancel", kept).told is Told.REFUSED


@pytest.mark.parametrize(("switched_on", "seconds"), [(False, 30), (True, None)])
def test_a_call_that_nobody_holds_back_goes_at_once(
    client: Custodian, sandbox: Sandbox, *, switched_on: bool, seconds: int | None
) -> None:
    sandbox.config(lisoloo={"cancel_within": switched_on})
    assert client.steer("cancel", sent(client, seconds)).told is Told.REFUSED
    sandbox.until(lambda ledger: ledger["messages"].get("delivered", 0) == len(TO))


def tomorrow(days: int = 1) -> datetime:
    return datetime.now(ZoneInfo(ZONE)) + timedelta(days=days)


def dispatched(sandbox: Sandbox, days: float) -> list[datetime]:
    """When all that is due in so many days went out."""
    assert sandbox.http.post("/_sandbox/clock", json={"advance": days * 86_400}).status_code == 200
    return [datetime.fromtimestamp(one["scheduled_at"], UTC) for one in sandbox.ledger()["dispatches"]]


SCHEDULES: dict[str, Callable[[], Schedule]] = {
    "dates": lambda: At(times=[f"{tomorrow():%Y-%m-%d}T18:00", f"{tomorrow(3):%Y-%m-%d}T07:30"], tz=ZONE),
    "instants": lambda: At(times=[datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(hours=30)]),
    "twenty dates": lambda: At(times=[f"{tomorrow(day):%Y-%m-%d}T18:00" for day in range(1, 21)], tz=ZONE),
    "daily": lambda: Every(frequency="daily", times=["08:00", "18:00"], start=tomorrow().date(), end=tomorrow(5).date(), tz=ZONE),
    "daily, without its last day": lambda: Every(
        frequency="daily", times=["08:00"], start=tomorrow().date(), end=tomorrow(5).date(), end_inclusive=False, tz=ZONE
    ),
    "every third day": lambda: Every(
        frequency="daily", interval=3, times=["08:00"], start=tomorrow().date(), end=tomorrow(9).date(), tz=ZONE
    ),
    "weekly": lambda: Every(frequency="weekly", times=["08:00"], start=tomorrow().date(), end=tomorrow(40).date(), tz=ZONE),
    "monthly": lambda: Every(frequency="monthly", times=["08:00"], start=tomorrow().date(), end=tomorrow(150).date(), tz=ZONE),
    "yearly": lambda: Every(frequency="yearly", times=["08:00"], start=tomorrow().date(), end=tomorrow(800).date(), tz=ZONE),
}


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_the_provider_sends_at_the_very_times_of_the_schedule(
    sandbox: Sandbox, client: Custodian, make: Callable[[], Schedule]
) -> None:
    schedule = make()
    handed_over(client, schedule)
    assert dispatched(sandbox, 900) == [firing.at for firing in schedule.firings()]


@pytest.mark.parametrize("make", [SCHEDULES["every third day"], SCHEDULES["weekly"], SCHEDULES["monthly"]])
def test_where_it_can_be_the_last_day_is_right_however_the_provider_reads_its_end(
    sandbox: Sandbox, client: Custodian, make: Callable[[], Schedule]
) -> None:  # fmt: skip
    sandbox.config(lisoloo={"end_inclusive": False})
    schedule = make()
    handed_over(client, schedule)
    assert dispatched(sandbox, 900) == [firing.at for firing in schedule.firings()]


def test_dates_are_written_in_the_zone_of_the_account(sandbox: Sandbox, http: Http) -> None:
    sandbox.config(lisoloo={"timezone": "Africa/Nairobi"})
    at = datetime.combine(tomorrow(), time(23, 30), UTC)
    handed_over(custodian(f"{sandbox.url}/lisoloo", http, timezone="Africa/Nairobi"), At(times=[at]))
    assert dispatched(sandbox, 10) == [at]


def test_a_date_that_is_past_is_rejected_by_its_code(client: Custodian) -> None:
    reply = client.hand_over(Call(TO, "hello", "KITOKO", "batch-1"), At(times=["2020-01-01T10:00Z"]))
    assert reply.answer == Rejected("1106")


# Verbs.


def test_what_is_paused_and_resumed_and_cancelled_shows_so(sandbox: Sandbox, client: Custodian) -> None:
    message_id = handed_over(client, SCHEDULES["dates"]())
    assert client.standing(message_id) == Sighting(Shown.WAITING)
    story: list[tuple[Verb, Shown]] = [("pause", Shown.PAUSED), ("resume", Shown.WAITING), ("cancel", Shown.CANCELLED)]
    for verb, shown in story:
        assert (client.steer(verb, message_id), client.standing(message_id)) == (Steered(Told.DONE), Sighting(shown))
    assert client.steer("cancel", message_id) == Steered(Told.REFUSED, "http-409")
    assert dispatched(sandbox, 30) == []


def test_a_verb_that_is_not_there_is_unsupported_and_an_unknown_message_gone(sandbox: Sandbox, client: Custodian) -> None:
    message_id = handed_over(client, SCHEDULES["dates"]())
    for control in ("404", "405"):
        sandbox.config(lisoloo={"control": control})
        assert client.steer("pause", message_id).told is Told.UNSUPPORTED
    assert client.standing(message_id).shown is Shown.WAITING
    assert client.standing("0" * 24).shown is Shown.GONE
    assert client.standing("../balance").shown is Shown.GONE


FAULTS = {
    "reset_before_reading": Told.UNKNOWN,
    "reset_after_reading": Told.UNKNOWN,
    "accept_then_500": Told.UNKNOWN,
    "accept_then_reset": Told.UNKNOWN,
    "refuse_500": Told.UNKNOWN,
    "refuse_503": Told.LATER,
    "rate_limit": Told.LATER,
    "bad_key": Told.LATER,
    "suspended_key": Told.LATER,
}


@pytest.mark.parametrize(("kind", "told"), FAULTS.items(), ids=FAULTS)
def test_a_bad_day_of_a_verb_is_read_for_what_it_is(sandbox: Sandbox, client: Custodian, kind: str, told: Told) -> None:
    message_id = handed_over(client, SCHEDULES["dates"]())
    sandbox.arm(kind, operation="cancel")
    assert client.steer("cancel", message_id).told is told
    assert client.standing(message_id).shown is (Shown.CANCELLED if kind.startswith("accept") else Shown.WAITING)


def test_a_limit_says_when_to_ask_again(sandbox: Sandbox, client: Custodian) -> None:
    message_id = handed_over(client, SCHEDULES["dates"]())
    for operation, ask in (("pause", lambda: client.steer("pause", message_id)), ("status", lambda: client.standing(message_id))):
        sandbox.arm("rate_limit", operation=operation, retry_after=7)
        assert cast("Any", ask)().after == 7


def test_nobody_there_is_asked_again_later(http: Http) -> None:
    away = custodian("http://127.0.0.1:9/lisoloo", http)
    assert (away.steer("pause", "x").told, away.standing("x").shown) == (Told.LATER, Shown.LATER)


@pytest.mark.parametrize(
    ("word", "shown"), [*STATUSES.items(), ("unknown", Shown.UNTOLD), ("none", Shown.UNTOLD), (None, Shown.UNTOLD)]
)
def test_each_status_is_read_by_the_table(http: Http, word: str | None, shown: Shown) -> None:
    with canned() as server:
        server.serve(Tin(200, {"status_code": 200, "data": {"status": word}}))
        assert custodian(server.url, http).standing("x").shown is shown
