"""Workers that die, and calls that nobody answers: nothing is lost, nothing is sent twice, and what cannot be known is said."""

from __future__ import annotations

import json
import secrets
import signal
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.houses import open_house

from tuma_worker.bootstrap import configured
from tuma_worker.queue.scripts import Claim, claim
from tuma_worker.settings import load_settings
from tuma_worker.store.accounts import standing
from tuma_worker.store.attempts import Attempts
from tuma_worker.store.moves import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import House, Settings

# A lease that soon lapses, and little patience with calls that were not answered.
HASTY: Settings = {"provider": "lisoloo", "lease": 2, "resolve_after": 1}
ACCOUNTS: dict[str, Settings] = {
    "killed": HASTY | {"resolve_after": 8},
    "killed-lineserve": HASTY | {"provider": "lineserve", "resolve_after": 8},
    "unclaimed": HASTY,
    "held": HASTY,
    "mixed": HASTY,
    "hanging": HASTY | {"timeout": 2},
    "cut": HASTY | {"resolve_after": 10},
    "told": HASTY,
    "lost": HASTY,
    "booked": HASTY | {"provider": "lineserve"},
}


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    with open_house(server, ACCOUNTS) as found:
        found.worker("hanging", "cut", "booked")
        yield found


class Doomed:
    """A worker that takes a batch and goes no further: what is left of it in Redis is what a SIGKILL leaves."""

    def __init__(self, house: House, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in house.tuma.environment.items():
            monkeypatch.setenv(name, value)
        settings = load_settings()
        configured.register_accounts(house.redis, settings)
        self._redis = house.redis
        self._queue = configured.queue_config(account, settings.accounts[account])

    def claims(self) -> Claim:
        """Take a batch."""
        found = claim(self._redis, self._queue, secrets.token_hex(16), "doomed:1", last=False)
        assert isinstance(found, Claim), found
        return found

    def claims_and_begins(self) -> Claim:
        """Take a batch and write down that its call is about to be made."""
        found = self.claims()
        targets = [Target(*job.subject.split(":")) for job in found.jobs]
        begun = Attempts(self._redis, self._queue).begin(
            found.batch_id, secrets.token_urlsafe(18), targets, lane=found.lane, source=found.source, group=found.group
        )
        assert begun is not None
        assert begun.targets == tuple(sorted(targets))
        return found


# ----------------------------------------------------------------------------------------------------------- worker deaths


def test_the_calls_of_a_worker_that_is_killed_in_them_are_adopted_by_their_receipts_and_not_made_again(house: House) -> None:
    to = [f"+24399002{n:04}" for n in range(3)]
    accounts = ("killed", "killed-lineserve")
    house.sandbox.arm("accept_then_hang", to=to, receipts="late", seconds=2, count=2)
    victim = house.worker(*accounts)
    intents = [house.send(account, *to) for account in accounts]
    for account in accounts:
        house.sandbox.until_calls(account)
    victim.kill()
    assert not any("delivery.settled" in line for line in victim.said)
    heir = house.worker(*accounts)
    for intent_id in intents:
        assert house.done(intent_id).counts == {"delivered": 3}
        events = house.until(intent_id, "intent.done")
        for number in to:
            steps = [event.type.rpartition(".")[2] for event in events if event.recipient == number]
            assert steps == ["sending", "submitted", "sent", "delivered"]
    for account in accounts:
        heir.until("delivery.resolved", account, "0 unknown")  # it has looked at what the dead worker left, and let it be
        assert set(house.copies(account).values()) == {1}
    heir.kill()


def test_what_a_worker_took_and_never_began_is_sent_once_by_another(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    intent_id = house.send("unclaimed", "+243990000001", "+243990000002")
    Doomed(house, "unclaimed", monkeypatch).claims()
    heir = house.worker("unclaimed")
    assert house.story(intent_id).count("sending") == 2
    assert house.producer.get(intent_id).counts == {"delivered": 2}
    assert list(house.copies("unclaimed").values()) == [1, 1]
    heir.kill()


def test_a_call_that_may_have_been_made_ends_unknown_or_is_sent_again_as_its_intent_asked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = house.send("held", "+243990000001", message="Your invoice is ready")
    resend = house.send("held", "+243990000002", message="Code 493 201", on_unknown="resend")
    doomed = Doomed(house, "held", monkeypatch)
    doomed.claims_and_begins()
    doomed.claims_and_begins()
    heir = house.worker("held")
    assert house.story(hold) == ["accepted", "sending", "unknown", "done"]
    assert house.producer.get(hold).recipients[0].evidence == "assumed"
    assert house.story(resend) == ["accepted", "sending", "queued", "sending", "submitted", "sent", "delivered", "done"]
    assert house.copies("held") == {("Code 493 201", "+243990000002"): 1}
    heir.kill()


def test_intents_that_shared_an_unanswered_call_each_get_what_they_asked_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text to two numbers shares a call, whatever each of them wants to happen when nobody answers."""
    hold = house.send("mixed", "+243990000001", message="the same")
    resend = house.send("mixed", "+243990000002", message="the same", on_unknown="resend")
    doomed = Doomed(house, "mixed", monkeypatch)
    begun = doomed.claims_and_begins()
    if len(begun.jobs) == 1:
        doomed.claims_and_begins()
    heir = house.worker("mixed")
    assert house.done(hold).counts == {"unknown": 1}
    assert house.done(resend).counts == {"delivered": 1}
    assert house.copies("mixed") == {("the same", "+243990000002"): 1}
    heir.kill()


# ------------------------------------------------------------------------------------------------------- unanswered calls


def test_a_call_without_answer_and_receipts_ends_unknown_and_is_not_made_again(house: House) -> None:
    house.sandbox.arm("accept_then_hang", to=["+243990000501"], receipts="none", seconds=5)
    intent_id = house.send("hanging", "+243990000501")
    assert house.story(intent_id) == ["accepted", "sending", "unknown", "done"]
    (attempt,) = house.producer.get(intent_id).attempts
    assert attempt.awaited is not None
    assert [(look.found, look.decision) for look in attempt.looks] == [("no-books", "unknown")]
    told = house.tuma("get", intent_id).out
    assert f"{attempt.id}: no answer came; a receipt was awaited until" in told
    assert "no receipt came, and the provider keeps no books; nobody knows: ended unknown" in told
    explained = house.tuma("explain", intent_id).out
    assert f"What was tried\n  {attempt.id} at " in explained
    assert "    1 recipient unknown" in explained
    # One that follows is answered long after the first could have been made again.
    assert house.done(house.send("hanging", "+243990000502")).counts == {"delivered": 1}
    assert sorted(number for _, number in house.copies("hanging")) == ["+243990000501", "+243990000502"]
    assert set(house.copies("hanging").values()) == {1}


def test_a_call_whose_answer_is_lost_is_known_by_its_receipts(house: House) -> None:
    house.sandbox.arm("accept_then_reset", to=["+243990000601"])
    intent_id = house.send("cut", "+243990000601", "+243990000602")
    assert house.done(intent_id).counts == {"delivered": 2}
    assert set(house.copies("cut").values()) == {1}


def test_a_receipt_that_comes_after_all_corrects_what_was_held_to_be_unknown(house: House) -> None:
    house.sandbox.arm("accept_then_hang", to=["+243990000701"], receipts="late", seconds=6)
    intent_id = house.send("hanging", "+243990000701")
    assert house.story(intent_id) == ["accepted", "sending", "unknown", "done"]
    *_, last = house.until(intent_id, "recipient.delivered")
    found = house.producer.get(intent_id)
    assert found.counts == {"delivered": 1}
    assert [look.found for look in found.attempts[0].looks] == ["no-books", "receipt"]
    corrections = [event for event in house.until(intent_id, "recipient.delivered") if event.correction]
    assert [event.type for event in corrections] == ["tuma.recipient.submitted"]
    assert last.evidence == "handset"


@pytest.mark.parametrize("numbers", [["+254790000801"], ["+254790000802", "+254790000803"]], ids=["a message", "a campaign"])
def test_a_lost_answer_without_receipts_is_found_in_the_books_of_a_provider_that_keeps_some(
    house: House, numbers: list[str]
) -> None:
    house.sandbox.arm("accept_then_reset", to=numbers[:1], receipts="none")
    intent_id = house.send("booked", *numbers)
    *_, submitted = house.until(intent_id, "recipient.submitted")
    assert submitted.evidence == "provider"
    (look,) = house.producer.get(intent_id).attempts[0].looks
    assert (look.found, look.decision) == ("one", "adopted")
    assert look.provider_id
    assert [house.copies("booked")[text, number] for text, number in house.copies("booked") if number in numbers] == [1] * len(
        numbers
    )


@pytest.mark.parametrize("numbers", [["+254790000901"], ["+254790000902", "+254790000903"]], ids=["a message", "a campaign"])
def test_a_call_that_the_books_do_not_have_is_made_again_once(house: House, numbers: list[str]) -> None:
    house.sandbox.arm("reset_before_reading", provider="lineserve")
    intent_id = house.send("booked", *numbers)
    done = house.done(intent_id)
    assert done.counts == {"delivered": len(numbers)}
    first, second = done.attempts
    assert [(look.found, look.decision) for look in first.looks] == [("nothing", "look-again"), ("nothing", "absent")]
    assert (second.awaited, second.looks) == (None, ())
    assert [house.copies("booked")[text, number] for text, number in house.copies("booked") if number in numbers] == [1] * len(
        numbers
    )


# -------------------------------------------------------------------------------------------------------------- lost jobs


def test_a_message_whose_job_was_lost_is_put_back_by_hand_and_delivered_once(house: House) -> None:
    intent_id = house.send("lost", "+243990000001")
    house.redis.delete("tuma:{lost}:send:entries")
    swept = house.tuma("sweep", "--account", "lost", "--json")
    assert swept.status == 0, swept.err
    (told,) = swept.json
    assert (told["account"], told["suspected"], told["restored"]) == ("lost", 0, 1)
    worker = house.worker("lost")
    assert house.done(intent_id).counts == {"delivered": 1}
    assert list(house.copies("lost").values()) == [1]
    worker.kill()


def test_workers_put_back_by_themselves_what_was_lost_of_a_call_without_answer(house: House) -> None:
    house.sandbox.arm("reset_before_reading", provider="lisoloo")
    intent_id = house.send("lost", "+243990000001", on_unknown="resend")
    with_patience = json.loads(house.tuma.environment["TUMA_ACCOUNTS"])
    with_patience["lost"]["resolve_after"] = 3600
    first = house.worker("lost", TUMA_ACCOUNTS=json.dumps(with_patience))
    first.until("delivery.settled", "Unknown")
    first.end(signal.SIGTERM)
    assert house.redis.delete("tuma:{lost}:send:due") == 1
    heir = house.worker("lost", TUMA_SWEEP_EVERY="2")
    heir.until("delivery.stranded", "lost")
    assert house.done(intent_id).counts == {"delivered": 1}
    assert set(house.copies("lost").values()) == {1}
    heir.kill()


# --------------------------------------------------------------------------------------------------------- an orderly end


def test_a_worker_that_is_told_to_end_finishes_its_calls_leaves_the_rest_and_holds_nothing(house: House) -> None:
    with house.sandbox.configured(latency_ms=1500):
        worker = house.worker("told", threads=2)
        intents = [house.send("told", f"+24399003{n:04}") for n in range(6)]
        house.sandbox.until_calls("told", 2)
        assert worker.end(signal.SIGTERM) == 0
    counts = [house.producer.get(intent_id).counts for intent_id in intents]
    assert sum(one == {"queued": 1} for one in counts) == 4
    assert len(house.sandbox.calls("told")) == 2
    settled = [json.loads(line) for line in worker.said if "delivery.settled" in line]
    assert [line["phase"] for line in settled] == ["accepted", "accepted"]
    assert standing(house.redis, "told").in_flight == 0
    leases: Any = house.redis.zcard("tuma:{told}:send:leases")
    assert leases == 0
    heir = house.worker("told")
    house.all_done(intents)
    assert set(house.copies("told").values()) == {1}
    heir.kill()
