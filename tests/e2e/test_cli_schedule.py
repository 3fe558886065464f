"""`tuma schedule preview`: what a schedule means, and what is wrong with one; without any Redis."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.support.programs import Tuma

from tuma_producer import At, Every

PREVIEW = ("schedule", "preview")
DOC = (Path(__file__).resolve().parents[2] / "docs" / "time.md").read_text(encoding="utf-8")
DAILY = (*PREVIEW, "--every", "daily", "--times", "08:00, 18:00", "--start", "2026-12-01", "--tz", "Africa/Kinshasa")
LATER = ("--after", "2026-12-24T12:00Z")

MISTAKES = {
    "neither kind": (PREVIEW, "give either --at (as often as needed) or --every"),
    "both kinds": ((*DAILY, "--at", "2026-12-24T18:00"), "give either --at"),
    "unknown frequency": ((*DAILY, "--every", "hourly"), "frequency: "),
    "interval 0": ((*DAILY, "--interval", "0"), "interval: "),
    "no times": ((*PREVIEW, "--every", "daily", "--start", "2026-12-01", "--tz", "UTC"), "times: must be given with daily"),
    "malformed times": ((*DAILY, "--times", "8h"), "times: entry 0: must be a time of day"),
    "empty times": ((*DAILY, "--times", ""), "times: entry 0: must be a time of day"),
    "end before start": ((*DAILY, "--end", "2026-11-30"), "end: must not be before start"),
    "nothing in range": ((*DAILY, "--times", "08:00", "--end", "2026-12-01T07:00"), "end: nothing ever fires"),
    "unknown zone": ((*DAILY, "--tz", "Kinshasa"), "tz: must be an IANA time zone"),
    "weekdays of a month": ((*DAILY, "--every", "monthly", "--weekdays", "mon"), "weekdays: go with weekly only"),
    "no offset": ((*PREVIEW, "--at", "2026-12-24T18:00"), "error: --at: entry 0: has no offset"),
    "weekdays of given times": ((*PREVIEW, "--at", "2026-12-24T18:00Z", "--weekdays", "mon"), "--weekdays goes with --every"),
    "end of given times": ((*PREVIEW, "--at", "2026-12-24T18:00Z", "--end-exclusive"), "--end-exclusive goes with --every"),
    "after no time": ((*DAILY, "--after", "christmas"), "--after: must be a time such as "),
}


@pytest.mark.parametrize(("arguments", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_with_its_reason_and_exit_status_2(arguments: tuple[str, ...], reason: str) -> None:
    ran = Tuma()(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert reason in ran.err


def test_it_shows_the_next_firings_with_their_offsets() -> None:
    ran = Tuma()(*DAILY, *LATER, "--count", "3")
    assert ran.status == 0
    heading, *rows = [line.split() for line in ran.out.splitlines()]
    assert heading == ["local", "offset", "UTC"]
    assert rows == [
        ["Thu", "2026-12-24", "18:00:00", "+01:00", "2026-12-24", "17:00:00"],
        ["Fri", "2026-12-25", "08:00:00", "+01:00", "2026-12-25", "07:00:00"],
        ["Fri", "2026-12-25", "18:00:00", "+01:00", "2026-12-25", "17:00:00"],
    ]


def test_as_json_each_firing_is_a_line_and_a_moved_one_says_so() -> None:
    ran = Tuma()(*DAILY, "--times", "02:30", "--tz", "Europe/Paris", "--after", "2027-03-27T12:00Z", "--count", "2", "--json")
    assert [(one["local"], one["offset"], one["moved"]) for one in ran.jsons] == [
        ("2027-03-28T03:30:00+02:00", "+02:00", True),
        ("2027-03-29T02:30:00+02:00", "+02:00", False),
    ]
    assert ran.jsons[0]["at"] == "2027-03-28T01:30:00.000+00:00"


def test_given_times_are_shown_in_order_as_far_as_they_are_still_to_come() -> None:
    given = [word for day in (31, 24, 20) for word in ("--at", f"2026-12-{day}T18:00")]
    ran = Tuma()(*PREVIEW, *given, "--tz", "Africa/Nairobi", *LATER, "--json")
    assert [one["local"] for one in ran.jsons] == ["2026-12-24T18:00:00+03:00", "2026-12-31T18:00:00+03:00"]


def test_without_after_it_looks_from_now_on_and_what_is_over_is_exit_status_1() -> None:
    ran = Tuma()(*PREVIEW, "--at", "2001-12-24T18:00Z")
    assert (ran.status, ran.out, ran.err) == (
        1,
        "",
        "error: --at: nothing of it is still to come after that time; choose a later one\n",
    )


@pytest.mark.parametrize("command", re.findall(r"^\$ tuma (schedule preview .+)$", DOC, re.MULTILINE))
def test_each_command_of_the_page_about_time_shows_something(command: str) -> None:
    ran = Tuma()(*shlex.split(command), "--after", "2026-12-01T00:00Z")
    assert (ran.status, ran.err) == (0, "")
    assert "2026-12-" in ran.out


def test_each_schedule_of_the_page_about_time_can_be_made() -> None:
    sample, *_ = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    lines = [line for line in sample.splitlines() if line.startswith(("At(", "Every("))]
    made = [eval(line, {"At": At, "Every": Every}) for line in lines]  # noqa: S307 - it is our own page
    assert all(next(schedule.firings()).at.year == 2026 for schedule in made)
    assert len(made) == 4
