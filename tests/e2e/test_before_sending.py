"""What helps before a call is spent, by the command line and with a real worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.houses import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Tuma
    from tests.support.houses import House
    from tests.support.servers import Server

CAMPAIGN = [f"+24399{n:07}" for n in range(1000)]
SEND = ("send", "--account", "campaign")
OUT, LATER = CAMPAIGN[500], CAMPAIGN[501]
KEPT_TEMPLATE = "tpl_1000000001"  # the first that the stand-in keeps
WEBHOOK_SECRET = "invented-webhook-secret"


@pytest.fixture(scope="module")
def house(server: Server) -> Iterator[House]:
    approved = {"provider": "lisoloo", "approved": {"KITOKO": ["+243"], "INFO": ["+250"]}, "sender_id": "KITOKO"}
    texts = {"templates": {"code": "Your code is {{code}}."}, "provider_templates": {"code": KEPT_TEMPLATE}}
    kept = {"provider": "lineserve", "webhook_secret": WEBHOOK_SECRET, **texts}
    with open_house(server, {"campaign": {"provider": "lisoloo"}, "approved": approved, "kept": kept}) as found:
        found.worker()
        yield found


def test_a_number_that_is_added_while_a_thousand_wait_is_in_no_later_call(house: House) -> None:
    assert house.tuma("queue", "pause", "campaign.send").status == 0
    waiting = house.send("campaign", *CAMPAIGN, message="Sale")
    assert house.tuma("suppress", "add", "campaign", OUT, LATER).out == "account campaign: 2 numbers added\n"
    assert house.tuma("queue", "resume", "campaign.send").status == 0
    intent = house.done(waiting)
    assert intent.counts == {"delivered": 998, "suppressed": 2}
    assert {number for _, number in house.copies("campaign")} == {*CAMPAIGN} - {OUT, LATER}
    assert house.done(house.send("campaign", OUT, message="Sale again")).counts == {"suppressed": 1}
    assert house.tuma("suppress", "remove", "campaign", OUT, "--json").json == {"account": "campaign", "removed": 1}
    assert house.done(house.send("campaign", OUT, message="Welcome back")).counts == {"delivered": 1}


def test_a_dry_run_tells_what_a_send_would_come_to_and_the_provider_hears_nothing(house: House) -> None:
    house.tuma("suppress", "add", "campaign", LATER)
    house.done(house.send("campaign", CAMPAIGN[0], message="Hello"))
    calls = len(house.copies("campaign"))
    ran = house.tuma(*SEND, "--stdin", "--message", "C\u2019est prêt", "--dry-run", stdin="\n".join(CAMPAIGN))
    assert ran.status == 0
    facts = ran.out.splitlines()
    assert facts[0].startswith("verdict: goes, expected at ")
    assert facts[1:4] == ["1000 recipients, 1 suppressed", "999 messages (ucs-2, 1 segment at the most)", "1 call"]
    assert facts[4].startswith("cost: ")
    assert facts[4].endswith(", by what the last call was charged")
    assert facts[5:] == ["ucs-2 because of: \u2019 (U+2019), ê (U+00EA)", "with --substitute accents: gsm-7, 1 segment"]
    late = house.tuma(*SEND, "--to", LATER, "--message", "Hello", "--dry-run", "--json")
    assert (late.status, late.json["verdict"], late.json["suppressed"]) == (1, "nobody", 1)
    assert len(house.copies("campaign")) == calls


def test_substitution_is_told_and_sent(house: House) -> None:
    text = "C\u2019est l\u2019heure\u2026"
    ran = house.tuma(*SEND, "--to", CAMPAIGN[1], "--message", text, "--substitute", "safe", "--wait")
    assert ran.status == 0
    assert ran.err.splitlines() == [
        'substituted: U+2019 -> "\'" (2 times, first at 1)',
        'substituted: U+2026 -> "..." (1 time, first at 13)',
    ]
    assert ("C'est l'heure...", CAMPAIGN[1]) in house.copies("campaign")


def test_to_whom_a_sender_may_not_be_shown_is_refused_before_the_call_and_the_others_go(house: House) -> None:
    here, there = [f"+24399100000{n}" for n in range(5)], [f"+25478100000{n}" for n in range(3)]
    intent = house.done(house.send("approved", *here, *there, message="Hello"))
    assert intent.counts == {"delivered": 5, "rejected": 3}
    refused = {(one.reason, one.evidence) for one in intent.recipients if one.state == "rejected"}
    assert refused == {("sender-not-approved", "inferred")}
    assert {number for _, number in house.copies("approved")} == {*here}
    assert house.done(house.send("approved", there[0], message="Hello")).counts == {"rejected": 1}
    assert {"account": "approved", "classes": {"rejected": 4}} in house.tuma("dead", "--json").json
    told = house.tuma("send", "--account", "approved", "--to", there[0], "--to", here[0], "--message", "Hello", "--dry-run").out
    assert "2 recipients, 1 for whom the sender is not approved\n" in told


def test_a_template_that_the_provider_keeps_is_filled_there_and_its_receipts_come_by_subscription(
    house: House, tmp_path: Path
) -> None:
    content = ("--name", "code", "--content", "Your code is {{code}}.")
    assert house.tuma("provider", "kept", "create-template", *content, "--json").json["template_id"] == KEPT_TEMPLATE
    secret = tmp_path / "secret"
    secret.write_text(WEBHOOK_SECRET, encoding="utf-8")
    address = f"{house.gateway_url}/receipts/kept"
    assert house.tuma("provider", "kept", "subscribe", "--url", address, "--secret", str(secret)).status == 0
    to = ("--to", CAMPAIGN[0], "--to", CAMPAIGN[1])
    ran = house.tuma("send", "--account", "kept", *to, "--template", "code", "--var", "code=12", "--wait")
    assert ran.status == 0, ran.err
    assert set(house.copies("kept")) == {("Your code is 12.", number) for number in CAMPAIGN[:2]}
    assert house.sandbox.requests("lineserve", "POST /sms/send-template") == {"200": 2}


def test_a_list_is_exported_and_imported_and_what_is_wrong_in_it_is_told_by_line(tuma: Tuma, tmp_path: Path) -> None:
    optouts = tmp_path / "optouts.csv"
    optouts.write_text("number;why\n+243 990 000 001;asked\n\n12;?\n00243990000002\n+243990000001\n", encoding="utf-8")
    ran = tuma("suppress", "import", "lisoloo-main", str(optouts), "--json")
    assert (ran.status, ran.json) == (2, {"account": "lisoloo-main", "added": 2, "known": 0, "refused": 1})
    assert ran.err.startswith("error: line 4: ")
    exported = tuma("suppress", "export", "lisoloo-main").out
    assert sorted(line.partition(",")[0] for line in exported.splitlines()) == ["+243990000001", "+243990000002", "number"]
    optouts.write_text(exported, encoding="utf-8")
    again = tuma("suppress", "import", "lisoloo-main", str(optouts))
    assert (again.status, again.out) == (0, "account lisoloo-main: added 0, on the list before 2, refused 0\n")
    assert "+243…01" in tuma("suppress", "list", "lisoloo-main").out
    assert "+243990000001" in tuma("suppress", "list", "lisoloo-main", "--show-numbers", "--json").out


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("add", "nobody", OUT), "error: account: 'nobody' is not configured (known: lisoloo-main)\n"),
        (("list", "nobody"), "error: account: 'nobody' is not configured (known: lisoloo-main)\n"),
        (("add", "lisoloo-main", "12"), "error: numbers: entry 0: … is not an international number"),
        (("import", "lisoloo-main", "/nonexistent.csv"), "error: cannot read /nonexistent.csv (No such file or directory)\n"),
    ],
)
def test_mistakes_are_one_line(tuma: Tuma, command: tuple[str, ...], error: str) -> None:
    ran = tuma("suppress", *command)
    assert (ran.status, ran.err[: len(error)], ran.err.count("\n")) == (2, error, 1)
