"""`tuma send --dry-run`: what a send or a list of them would come to, told and not done."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from tuma_producer.intents import MAX_RECIPIENTS
from tuma_producer.text import Encoding, code_points, foreign, segment, substitute
from tuma_worker.cli.output import NOT_AS_WISHED, count, say, say_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuma_producer import Estimate, Send
    from tuma_worker.cli.reach import Reach

_SHOWN = 10  # characters that make a text UCS-2


def gathered(sends: Iterable[Send]) -> list[Send]:
    """The same sends, those that differ in their recipient alone as one: a list has a row for each."""
    together: dict[str, tuple[Send, list[str]]] = {}
    for send in sends:
        same = send.model_dump_json(exclude={"to", "idempotency_key"})
        together.setdefault(same, (send, []))[1].extend(send.to)
    return [one for send, numbers in together.values() for one in _cut(send, numbers)]


def _cut(send: Send, numbers: list[str]) -> Iterator[Send]:
    for start in range(0, len(numbers), MAX_RECIPIENTS):
        yield send.model_copy(update={"to": numbers[start : start + MAX_RECIPIENTS]})


def foresee(store: Reach, sends: list[Send], *, as_json: bool) -> None:
    """Tell what these would come to. Exit status 1: not all would go, or not in time."""
    estimate = store.producer.estimate(*sends)
    if as_json:
        say_json(asdict(estimate))
    else:
        for line in (*_in_words(estimate), *_of_text({send.message for send in sends})):
            say(line)
    if estimate.verdict != "goes":
        raise typer.Exit(NOT_AS_WISHED)


def _in_words(estimate: Estimate) -> Iterator[str]:
    when = f", expected at {estimate.expected.isoformat(timespec='seconds')}" if estimate.expected else ""
    yield f"verdict: {estimate.verdict}{when}"
    yield from (f"  {reason}" for reason in estimate.reasons)
    left_out = [f"{estimate.suppressed} suppressed"] if estimate.suppressed else []
    left_out += [f"{estimate.unapproved} for whom the sender is not approved"] if estimate.unapproved else []
    left_out += [f"{count(estimate.dropped, 'duplicate number')} dropped"] if estimate.dropped else []
    yield ", ".join([count(estimate.recipients, "recipient"), *left_out])
    yield f"{count(estimate.messages, 'message')} ({estimate.encoding}, {count(estimate.segments, 'segment')} at the most)"
    yield count(estimate.calls, "call")
    if estimate.cost is None:
        yield "cost: not known; set unit_price and currency of the account"
    else:
        by = "the account's unit_price" if estimate.price_from == "configured" else "what the last call was charged"
        yield f"cost: {estimate.cost.normalize():f} {estimate.currency}, by {by}"


def _of_text(texts: set[str]) -> Iterator[str]:
    """What makes the text UCS-2, where there is one text alone, and what it would be without."""
    (text, *others) = texts
    if others or segment(text).encoding is not Encoding.UCS2:
        return
    found = foreign(text)
    named = ", ".join(f"{one.character} ({code_points(one.character)})" for one in found[:_SHOWN])
    yield f"ucs-2 because of: {named}{' and others' if len(found) > _SHOWN else ''}"
    for way, accents in (("safe", False), ("accents", True)):
        if (better := substitute(text, accents=accents)).changes:
            yield f"with --substitute {way}: gsm-7, {count(better.after.segments, 'segment')}"
            return
