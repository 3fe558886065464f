"""Asking about calls of which no receipt came, at each stand-in: what is told is true, and what cannot be told is not."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.contract.conftest import LINESERVE_KEY, LISOLOO_KEY

from tuma_worker.core.answers import Accepted
from tuma_worker.core.polling import Overdue, Silent
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers import PROVIDERS
from tuma_worker.providers.base import Call
from tuma_worker.providers.http import Arrived, Http
from tuma_worker.providers.operations import NotDone, Request
from tuma_worker.settings import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.contract.conftest import Sandbox

    from tuma_worker.core.receipts import Receipt

PLACES = {"lisoloo": ("/lisoloo", LISOLOO_KEY), "lineserve": ("/lineserve/v1", LINESERVE_KEY)}
R, E = RecipientState, Evidence
GOOD, OTHER, UNDELIVERED, FAILED, REJECTED, EXPIRED, STUCK = (
    f"+24399{digits}" for digits in ("0000001", "0000002", "0999901", "0999902", "0999903", "0999904", "0999907")
)  # the sandbox reads the fate of a number from its last digits


@dataclass
class Desk:
    """One provider's stand-in, whose receipts do not come, and the way to ask it."""

    name: str
    account: Account
    http: Http
    sandbox: Sandbox
    asked: int = 0

    def exchange(self, request: Request) -> Arrived:
        self.asked += 1
        said = PROVIDERS[self.name].caller(self.account, self.http).call(request)
        if not isinstance(said, Arrived):
            raise NotDone(request, said)
        return said

    def send(self, *numbers: str, told: Counter[RecipientState] | None = None, told_of: Sequence[str] = ()) -> Overdue:
        """A call of which receipts told no more than is said here."""
        self.sandbox.arm("no_receipts", provider=self.name)
        started = round(time.time() * 1000)
        client = PROVIDERS[self.name].client(self.account, self.http)
        answer = client.send(Call(numbers, "Karibu", "KITOKO", f"batch-{started}")).answer
        assert isinstance(answer, Accepted)
        ids = {number: one.provider_id or "" for number, one in answer.recipients.items()}
        silent = {number: Silent("intent", ids.get(number, "")) for number in numbers if number not in told_of}
        return Overdue(f"batch-{started}", answer.provider_id, started, "Karibu", len(numbers), silent, told or Counter())

    def ask(self, *calls: Overdue) -> list[list[Receipt]]:
        inquire = PROVIDERS[self.name].inquire
        assert inquire is not None
        return [list(news) for _, news in inquire(self.exchange, calls)]

    def until_told(self, call: Overdue) -> dict[str | None, tuple[RecipientState | None, Evidence]]:
        """What is told of every silent recipient, once that is an end for all of them."""
        deadline = time.monotonic() + 20
        while True:
            ((*news,),) = self.ask(call)
            if len(news) == len(call.silent) and all(one.state is not R.SENT for one in news):
                return {one.number: (one.state, one.evidence) for one in news}
            assert time.monotonic() < deadline, news
            time.sleep(0.05)  # each question counts in a minute's limit, of the account too


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http() as http:
        yield http


@pytest.fixture
def desk_of(sandbox: Sandbox, http: Http) -> Callable[[str], Desk]:
    def make(name: str) -> Desk:
        path, key = PLACES[name]
        settings: dict[str, Any] = {"base_url": sandbox.url + path, "api_key": SecretStr(key), "environment": "sandbox"}
        return Desk(name, Account(provider=name, timeout=5, **settings), http, sandbox)

    return make


@pytest.fixture(params=sorted(name for name, provider in PROVIDERS.items() if provider.inquire is not None))
def desk(request: pytest.FixtureRequest, desk_of: Callable[[str], Desk]) -> Desk:
    return desk_of(request.param)


@pytest.mark.parametrize(
    ("number", "state", "evidence"),
    [
        (GOOD, R.DELIVERED, E.HANDSET),
        (FAILED, R.FAILED, E.OPERATOR),
        (REJECTED, R.REJECTED, E.OPERATOR),
        (EXPIRED, R.EXPIRED, E.OPERATOR),
    ],
)
def test_of_a_single_recipient_its_end_is_told(desk: Desk, number: str, state: RecipientState, evidence: Evidence) -> None:
    assert desk.until_told(desk.send(number)) == {number: (state, evidence)}


def test_of_several_who_were_all_delivered_that_is_told(desk: Desk) -> None:
    assert desk.until_told(desk.send(GOOD, OTHER)) == dict.fromkeys((GOOD, OTHER), (R.DELIVERED, E.HANDSET))


def test_who_has_not_ended_is_not_said_to_have(desk: Desk) -> None:
    call = desk.send(STUCK)
    desk.sandbox.until(lambda books: books["webhooks"]["pending"] == 0)
    deadline = time.monotonic() + 20
    while not (news := desk.ask(call)[0]):
        assert time.monotonic() < deadline
    assert [(one.state, one.evidence) for one in news] == [(R.SENT, E.OPERATOR)]


def test_a_provider_that_cannot_answer_now_is_not_taken_to_have_told_anything(desk: Desk) -> None:
    call = desk.send(GOOD)
    desk.sandbox.arm("refuse_503", provider=desk.name, operation="status" if desk.name == "lisoloo" else "history")
    with pytest.raises(NotDone):
        desk.ask(call)


# ---------------------------------------------------------------------------------------------- counts of all, and no names


@pytest.fixture
def lisoloo(desk_of: Callable[[str], Desk]) -> Desk:
    return desk_of("lisoloo")


def test_counts_of_a_mixture_are_no_news_of_anybody(lisoloo: Desk) -> None:
    call = lisoloo.send(GOOD, FAILED)
    one_told = lisoloo.send(GOOD, FAILED, told=Counter({R.DELIVERED: 1}), told_of=[GOOD])
    assert lisoloo.until_told(one_told) == {FAILED: (R.FAILED, E.PROVIDER)}  # who is left must have failed
    assert lisoloo.ask(call) == [[]]


def test_a_call_that_the_provider_does_not_know_any_more_is_no_news_and_holds_up_no_other(lisoloo: Desk) -> None:
    gone, call = Overdue("batch-0", "nobody-knows", 0, "Karibu", 1, {GOOD: Silent("intent", "")}, {}), lisoloo.send(OTHER)
    lisoloo.until_told(call)
    assert [len(news) for news in lisoloo.ask(gone, call)] == [0, 1]


# ----------------------------------------------------------------------------------------------------- a history with names


@pytest.fixture
def lineserve(desk_of: Callable[[str], Desk]) -> Desk:
    return desk_of("lineserve")


def test_each_of_several_is_told_of_by_name_and_one_page_is_enough_for_many(lineserve: Desk) -> None:
    mixed, single = lineserve.send(GOOD, FAILED, EXPIRED), lineserve.send(OTHER)
    lineserve.until_told(single)
    assert {number: state for number, (state, _) in lineserve.until_told(mixed).items()} == {
        GOOD: R.DELIVERED, FAILED: R.FAILED, EXPIRED: R.EXPIRED,
    }  # fmt: skip
    lineserve.asked = 0
    assert [len(news) for news in lineserve.ask(mixed, single)] == [3, 1]
    assert lineserve.asked == 1


def test_pages_are_read_until_everybody_was_found_and_no_further(lineserve: Desk) -> None:
    first = lineserve.send(*(f"+2547110{place:05}" for place in range(60)))
    last = lineserve.send(*(f"+2547111{place:05}" for place in range(60)))
    lineserve.until_told(first)
    lineserve.until_told(last)
    lineserve.asked = 0
    assert [len(news) for news in lineserve.ask(first)] == [60]
    assert lineserve.asked == 2  # the newest are listed first
    assert [len(news) for news in lineserve.ask(last)] == [60]
    assert lineserve.asked == 3


def test_calls_that_lie_far_apart_are_looked_for_apart(lineserve: Desk) -> None:
    call = lineserve.send(GOOD)
    lineserve.until_told(call)
    old = Overdue("batch-old", "msg-old", call.started - 86_400_000, "Karibu", 1, {OTHER: Silent("intent", "msg-old")}, {})
    lineserve.asked = 0
    assert [len(news) for news in lineserve.ask(old, call)] == [0, 1]
    assert lineserve.asked == 2


def test_whose_id_was_never_told_is_found_by_number_and_text_where_there_is_but_one_such_message(lineserve: Desk) -> None:
    call = lineserve.send(GOOD, FAILED)
    lineserve.until_told(call)
    nameless = replace(call, silent={GOOD: Silent("intent", ""), FAILED: Silent("intent", call.provider_id)})
    ((*news,),) = lineserve.ask(nameless)
    assert {one.number: one.state for one in news} == {GOOD: R.DELIVERED, FAILED: R.FAILED}
    assert lineserve.ask(replace(nameless, message="Another text")) == [[]]
    lineserve.until_told(lineserve.send(GOOD))  # the same text again: whose message is which nobody can tell
    ((only,),) = lineserve.ask(nameless)
    assert only.number == FAILED
