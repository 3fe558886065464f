"""An account without money and a spare one that carries what waits for it: real workers, both accounts at the stand-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.houses import key_of, open_house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import House

    from tuma_producer import Intent

SPARE = "spare"


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    # Nobody asks whether an account may go on: each test's home stays halted.
    homes = {name: {"provider": "lisoloo", "probe_every": 600} for name in ("poor", "silent", "regretted", "commanded")}
    accounts = homes | {"silent": {"provider": "lisoloo", "probe_every": 600, "resolve_after": 0.2}}
    accounts |= {SPARE: {"provider": "lineserve"}, "slow": {"provider": "lisoloo", "limits": ["1/h"]}}
    with open_house(server, accounts, TUMA_FAILOVER_EVERY="0.1") as found:
        found.worker()
        yield found


def no_money(house: House, account: str) -> None:
    house.sandbox.configure(lisoloo={"keys": {key_of(account): {"label": account, "balance": 0}}})


def carried_by(intent: Intent) -> set[str | None]:
    return {one.carried_as and one.carried_as.rpartition(".")[0] for one in intent.recipients}


def test_what_waits_at_an_account_without_money_goes_out_by_the_spare_one_each_number_once(house: House) -> None:
    no_money(house, "poor")
    to = [f"+24399000{index:04}" for index in range(50)]
    intents = [house.send("poor", *to[start : start + 10], failover=[SPARE]) for start in range(0, 50, 10)]
    house.all_done(intents)
    assert house.halts("poor") == 1
    found = [house.producer.get(intent) for intent in intents]
    assert [intent.counts for intent in found] == [{"delivered": 10}] * 5
    assert [carried_by(intent) for intent in found] == [{SPARE}] * 5
    assert house.copies("poor") == {}
    copies = {number: count for (_, number), count in house.copies(SPARE).items() if number in to}
    assert copies == dict.fromkeys(to, 1)
    stories = [house.story(intent) for intent in intents]
    assert all("carried" in story for story in stories)
    assert house.lines("delivery.carried", '"poor"')


def test_a_call_of_unknown_outcome_keeps_its_recipients_at_home(house: House) -> None:
    house.sandbox.arm("accept_then_reset", to=["+243990010001"], receipts="none")
    asked = house.send("silent", "+243990010001", failover=[SPARE], on_unknown="hold")
    house.sandbox.until_calls("silent")
    no_money(house, "silent")
    other = house.send("silent", "+243990010002", failover=[SPARE])
    assert house.done(other).counts == {"delivered": 1}
    assert house.done(asked).counts == {"unknown": 1}
    assert carried_by(house.producer.get(asked)) == {None}
    assert [number for _, number in house.copies(SPARE) if number.startswith("+24399001")] == ["+243990010002"]
    assert {number: count for (_, number), count in house.copies("silent").items()} == {"+243990010001": 1}


def test_a_cancel_while_others_carry_says_who_had_gone_and_the_rest_is_never_sent(house: House) -> None:
    no_money(house, "regretted")
    # The limit of the account that carries lets one call go, so the others wait there.
    intents = [house.send("regretted", f"+2439900200{index:02}", failover=["slow"]) for index in range(3)]
    house.sandbox.until_calls("slow")
    for intent in intents:
        house.until(intent, "intent.carried")
    outcomes = sorted(house.producer.cancel(intent).outcome for intent in intents)
    assert outcomes == ["done", "done", "too-late"]
    house.all_done(intents)
    ends = sorted(state for intent in intents for state in house.producer.get(intent).counts)
    assert ends == ["cancelled", "cancelled", "delivered"]
    assert list(house.copies("slow").values()) == [1]
    assert house.copies("regretted") == {}


def test_the_command_line_says_who_carries_it(house: House) -> None:
    no_money(house, "commanded")
    asked = ("--account", "commanded", "--failover", SPARE, "--to", "+243990030001", "--message", "hello")
    waited = house.tuma("send", *asked, "--wait")
    assert waited.status == 0, waited
    intent_id = waited.out.partition(":")[0]
    shown = house.tuma("get", intent_id, "--json").json
    assert (shown["failover"], shown["counts"]) == ([SPARE], {"delivered": 1})
    part = shown["recipients"][0]["carried_as"]
    assert house.tuma("get", part, "--json").json["home"] == intent_id
    assert f"carries recipients of: {intent_id}" in house.tuma("get", part).out
