"""Events told over HTTP by real workers, and the commands that say to whom."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.houses import open_house
from tests.support.programs import PATIENCE
from tests.support.subscriber import Subscriber, open_subscriber

from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Tuma
    from tests.support.houses import House
    from tests.support.servers import Server

ROAD = ["accepted", "sending", "submitted", "sent", "delivered", "done"]
SERVED, ACCOUNT = "served", "lisoloo-main"  # the second has no worker


@pytest.fixture(scope="module")
def house(server: Server) -> Iterator[House]:
    with open_house(server, {SERVED: {"provider": "lisoloo"}}, TUMA_PUSH_NETWORKS="127.0.0.0/8") as found:
        yield found


class Ear:
    """A subscriber to which one can wait to be told something. While `deaf`, its answers do not come."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self._asked = threading.Condition()
        self._about: list[dict[str, Any]] = []
        self.deaf = False
        subscriber.answers = self._answer

    def until(self, kind: str, intent_id: str) -> None:
        """Wait until it was asked about the intent's event of this kind."""
        with self._asked:
            assert self._asked.wait_for(
                lambda: any((one["type"], one.get("subject")) == (f"tuma.{kind}", intent_id) for one in self._about), PATIENCE
            ), self._about

    def story(self, intent_id: str) -> list[str]:
        """The last word of each of the intent's events that it took, until it was done."""
        self.until("intent.done", intent_id)
        return [one["type"].rpartition(".")[2] for one in self._about if one.get("subject") == intent_id]

    def hear(self) -> None:
        """Answer from now on, also what has been asked."""
        with self._asked:
            self.deaf = False
            self._asked.notify_all()

    def _answer(self, event: dict[str, Any]) -> tuple[int, dict[str, str]]:
        with self._asked:
            self._about.append(event)
            self._asked.notify_all()
            self._asked.wait_for(lambda: not self.deaf, PATIENCE)
        return 200, {}


@pytest.fixture
def ear() -> Iterator[Ear]:
    with open_subscriber() as subscriber:
        made = Ear(subscriber)
        yield made
        made.hear()


def test_whoever_subscribes_hears_what_becomes_of_a_message_and_whoever_follows_a_killed_worker_goes_on(
    house: House, ear: Ear
) -> None:
    added = house.tuma("subscriptions", "add", SERVED, ear.subscriber.url, "--source", "test", "--json").json
    assert added["secret"].startswith("whsec_")
    called_back = house.tuma("subscriptions", "add", SERVED, "--source", "test", "--json").json
    assert (called_back["id"], called_back["url"]) == ("callbacks.test", None)
    ear.deaf = True
    first = house.worker()
    intent_id = house.send(SERVED, "+243990000001")
    ear.until("intent.accepted", intent_id)
    house.done(intent_id)
    first.kill()
    house.redis.delete(AccountKeys(SERVED).pusher, AccountKeys(SERVED).applier)  # or wait until it is taken to have died
    ear.hear()
    second = house.worker()
    assert ear.story(intent_id) == ["accepted", *ROAD]  # the first was told twice: nobody saw it taken
    assert len({told.headers["webhook-id"] for told in ear.subscriber.asked}) == len(ROAD)

    listed = house.tuma("subscriptions", "list", SERVED, "--json").json
    assert [(one["id"], one["source"], one["secrets"], one["missed"], one["disabled"]) for one in listed] == [
        (one["id"], "test", 1, 0, None) for one in (added, called_back)
    ]
    assert added["secret"] not in str(listed)
    rotated = house.tuma("subscriptions", "rotate", SERVED, added["id"], "--json").json
    assert (rotated["secrets"], rotated["secret"] == added["secret"]) == (2, False)

    with open_subscriber() as other:
        own = Ear(other)
        asked = house.send(SERVED, "+243990000002", callback_url=other.url + "/42")
        assert own.story(asked) == ROAD
        assert {told.path for told in other.asked} == {"/42"}
    ear.until("intent.done", asked)
    assert house.redis.exists(AccountKeys(SERVED).pusher)
    assert second.end(signal.SIGTERM) == 0
    assert not house.redis.exists(AccountKeys(SERVED).pusher)  # whoever comes next need not wait until it is taken to have died
    for subscription in (added["id"], called_back["id"]):
        assert house.tuma("subscriptions", "remove", SERVED, subscription).out == f"subscription {subscription} removed\n"
    assert house.tuma("subscriptions", "list", SERVED, "--json").json == []


def test_a_replay_says_how_many_events_are_told_again(tuma: Tuma) -> None:
    one = tuma("subscriptions", "add", ACCOUNT, "https://billing.example.com/sms", "--from", "beginning", "--json").json["id"]
    tuma.send("--account", ACCOUNT)
    (event,) = tuma("outcomes", "--group", "g", "--wait", "0").jsons
    replay = ("subscriptions", "replay", ACCOUNT, one)
    assert tuma(*replay, "--event", event["id"]).out == f"subscription {one}: 1 event to be told again\n"
    assert tuma(*replay, "--from", "2026-01-01", "--to", "2026-01-02", "--json").json["events"] == 0
    assert tuma(*replay, "--from", event["time"], "--to", event["time"], "--json").json["events"] == 1
    assert tuma(*replay, "--from", event["id"], "--json").json["events"] == 1
    assert tuma("subscriptions", "list", ACCOUNT, "--json").json[0]["not_taken"] == 1
    assert tuma("subscriptions", "enable", ACCOUNT, one).out == f"subscription {one} of {ACCOUNT}: is told\n"


MISTAKES = {
    "an unknown account": (("add", "nobody", "https://a.example"), "account: 'nobody' is not configured"),
    "no web address": (("add", ACCOUNT, "ftp://a.example"), "URL: must be an http:// or https:// address"),
    "an address with a password": (("add", ACCOUNT, "https://a:b@a.example"), "URL: must be an http:// or https:// address"),
    "a source that is none": (("add", ACCOUNT, "https://a.example", "--source", "a b"), "source: must be 1 to 64 letters"),
    "a start that is none": (("add", ACCOUNT, "https://a.example", "--from", "noon"), "start: 'noon' is neither"),
    "an unknown one": (("remove", ACCOUNT, "nothing"), f"subscription: 'nothing' is none of {ACCOUNT}"),
    "an unknown one to rotate": (("rotate", ACCOUNT, "nothing"), f"subscription: 'nothing' is none of {ACCOUNT}"),
    "a replay of nothing": (("replay", ACCOUNT, "x"), "replay: give either --event ID, or --from"),
    "a replay of both": (("replay", ACCOUNT, "x", "--event", "a/1-0", "--from", "a/1-0"), "replay: give either --event ID"),
    "another account's event": (("replay", ACCOUNT, "x", "--event", "other/1-0"), "'other/1-0' is neither an event's id of"),
    "an event that is none": (("replay", ACCOUNT, "x", "--event", f"{ACCOUNT}/1"), "is neither"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_in_one_line(tuma: Tuma, mistake: str) -> None:
    arguments, said = MISTAKES[mistake]
    ran = tuma("subscriptions", *arguments)
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert ran.err.startswith("error: ")
    assert said in ran.err


def test_a_group_of_consumers_that_is_behind_is_shown_and_may_be_forgotten(tuma: Tuma) -> None:
    one = tuma("subscriptions", "add", ACCOUNT, "https://billing.example.com/sms", "--json").json["id"]
    tuma("outcomes", "--group", "report", "--wait", "0")
    tuma.send("--account", ACCOUNT)
    shown = {row["group"]: row["behind_since"] for row in tuma("subscriptions", "groups", ACCOUNT, "--json").json}
    assert shown.keys() == {"report", f"@{one}"}
    assert None not in shown.values()
    tuma("outcomes", "--group", "report", "--wait", "0")
    shown = {row["group"]: row["behind_since"] for row in tuma("subscriptions", "groups", ACCOUNT, "--json").json}
    assert shown["report"] is None
    assert tuma("subscriptions", "forget", ACCOUNT, "report").out == "group report forgotten\n"
    for name, said in (("report", f"'report' is none of {ACCOUNT}"), (f"@{one}", f"tuma subscriptions remove {ACCOUNT} {one}")):
        ran = tuma("subscriptions", "forget", ACCOUNT, name)
        assert (ran.status, ran.err.startswith("error: GROUP: "), said in ran.err) == (2, True, True)


def test_there_is_one_secret_for_a_sources_callbacks(tuma: Tuma) -> None:
    assert tuma("subscriptions", "add", ACCOUNT).status == 0
    again = tuma("subscriptions", "add", ACCOUNT)
    assert (again.status, again.err) == (
        2,
        f"error: subscription callbacks is there already; for a new secret run: tuma subscriptions rotate {ACCOUNT} callbacks\n",
    )


@pytest.mark.parametrize("command", ["add", "list", "remove", "rotate", "enable", "replay", "groups", "forget"])
def test_every_command_has_help_with_an_example(tuma: Tuma, command: str) -> None:
    assert f"Example: tuma subscriptions {command} {ACCOUNT}" in tuma("subscriptions", command, "--help").out
