"""Dead letters over HTTP: what reached nobody for a reason that a person may put right, and sending it again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from tuma_producer import Producer, UnknownIntent
from tuma_producer.contract.ids import split_id
from tuma_producer.contract.times import moment
from tuma_producer.intents import checked_source
from tuma_worker.core.dead import DeadClass
from tuma_worker.dispatch.redriving import Redriven, Redriver
from tuma_worker.gateway import bodies
from tuma_worker.gateway.forms import LINES, encoded, line_of
from tuma_worker.store.dead import Choice, DeadLetters, Leaving, LetterFilter
from tuma_worker.store.owners import source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

    from tuma_worker.gateway.desk import Ask
    from tuma_worker.store.dead import Letter


class _Chosen(BaseModel):
    """What is to be different when letters are sent again."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    account: str | None = None
    sender_id: str | None = None
    expires_in: float | None = Field(default=None, gt=0)


class _Which(BaseModel):
    """Which letters of an account."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    all: bool = False
    classes: list[DeadClass] = Field(default_factory=list)
    source: str | None = None
    older_than: float | None = Field(default=None, ge=0)

    @property
    def names_some(self) -> bool:
        """Whether it says which, and in one way."""
        return self.all != bool(self.classes or self.source is not None or self.older_than is not None)


class _Some(_Chosen, _Which):
    """Which letters of an account are sent again, and what is to be different."""


async def list_dead(ask: Ask) -> Response:
    """The account's dead letters, the oldest first, a line for each."""
    given = bodies.parameters(ask.request, "class", "source")
    if given.get("class", DeadClass.UNKNOWN) not in set(DeadClass):
        bodies.refuse("class", f"must be one of {', '.join(DeadClass)}")
    kinds = frozenset({DeadClass(given["class"])} if "class" in given else DeadClass)
    letters = DeadLetters(ask.desk.store, await ask.account())
    return StreamingResponse(_lines(letters, LetterFilter(kinds, given.get("source"))), media_type=LINES)


def _lines(letters: DeadLetters, wanted: LetterFilter) -> Iterator[bytes]:
    for page in letters.walk(wanted):
        yield b"".join(line_of(_letter(one)) for one in page)


def _letter(one: Letter) -> dict[str, Any]:
    died = moment(one.died)
    told = {"id": one.intent_id, "number": one.number, "class": one.kind, "reason": one.reason, "source": one.source}
    return told | {"died": died, "attempt": one.attempt}


async def redrive_intent(ask: Ask) -> Response:
    """Send an intent's dead letters again, as one new intent."""
    chosen = await bodies.read_as(ask.request, _Chosen)
    letters, found = await of_intent(ask, ask.named("intent_id"))
    return _told(await redrive(ask, letters, await _choice(ask, letters, chosen), found, ask.named("intent_id")))


async def of_intent(ask: Ask, intent_id: str) -> tuple[DeadLetters, Iterator[list[Letter]]]:
    """The dead letters of one intent. Raises `UnknownIntent`."""
    parts = split_id(intent_id)
    if parts is None or await source_of(ask.desk.redis, intent_id) is None:
        raise UnknownIntent(intent_id)
    letters = DeadLetters(ask.desk.store, parts[0])
    found = await run_in_threadpool(letters.of_intent, parts[1])
    return letters, iter([found] if found else [])


async def redrive_account(ask: Ask) -> Response:
    """Send dead letters of an account again. What is `unknown` may have arrived: it goes only by its class or its intent."""
    chosen = await bodies.read_as(ask.request, _Some)
    letters = DeadLetters(ask.desk.store, await ask.account())
    wanted = _wanted(ask, chosen, frozenset(DeadClass) - {DeadClass.UNKNOWN})
    return _told(await redrive(ask, letters, await _choice(ask, letters, chosen), letters.intents(wanted), str(wanted)))


def _wanted(ask: Ask, which: _Which, kinds: frozenset[DeadClass]) -> LetterFilter:
    """Which letters are meant, of these kinds where none are named. Raises `Problem` where nothing says which."""
    if not which.names_some:
        bodies.refuse("all", "say which: true, or classes, source, older_than")
    before = None if which.older_than is None else round(max(0.0, ask.desk.clock() - which.older_than) * 1000)
    source = None if which.source is None else checked_source(which.source)
    return LetterFilter(frozenset(which.classes) or kinds, source, before)


async def drop_intent(ask: Ask) -> Response:
    """Let an intent's dead letters go for good."""
    intent_id = ask.named("intent_id")
    letters, found = await of_intent(ask, intent_id)
    return _dropped(await drop(ask, letters, found, intent_id))


async def drop_account(ask: Ask) -> Response:
    """Let dead letters of an account go for good: they stay ended, and are listed no more."""
    chosen = await bodies.read_as(ask.request, _Which)
    letters, wanted = DeadLetters(ask.desk.store, await ask.account()), _wanted(ask, chosen, frozenset(DeadClass))
    return _dropped(await drop(ask, letters, letters.intents(wanted), str(wanted)))


async def drop(ask: Ask, letters: DeadLetters, groups: Iterator[list[Letter]], told: str) -> Counter[str]:
    """Let these letters go, in the name of the token; those of one intent stand together. The audit calls them all `told`.

    Returns how many of each class went.
    """
    return await run_in_threadpool(_drop_all, letters, groups, Leaving(ask.token.name, told))


def _drop_all(letters: DeadLetters, groups: Iterator[list[Letter]], leaving: Leaving) -> Counter[str]:
    dropped = Counter[str]()
    for found in groups:
        letters.drop(found[0].short_id, [one.number for one in found], leaving)
        dropped.update(one.kind for one in found)
    return dropped


def _dropped(counted: Counter[str]) -> Response:
    return encoded({"dropped": counted.total(), "classes": counted})


async def _choice(ask: Ask, letters: DeadLetters, chosen: _Chosen) -> Choice:
    if chosen.account is not None:
        await ask.known(chosen.account)
    return Choice(chosen.account or letters.account, chosen.sender_id, chosen.expires_in)


def _told(done: Redriven) -> Response:
    return encoded({"redriven": done.recipients, "intents": done.intents, "skipped": done.skipped})


async def redrive(ask: Ask, letters: DeadLetters, choice: Choice, groups: Iterator[list[Letter]], told: str) -> Redriven:
    """Send these letters again, in the name of the token; those of one intent stand together. The audit calls them all `told`."""
    redriver = Redriver(Producer(ask.desk.store), letters, ask.desk.name, Leaving(ask.token.name, told))
    done = Redriven()
    await run_in_threadpool(_all, redriver, groups, choice, done)
    return done


def _all(redriver: Redriver, groups: Iterator[list[Letter]], choice: Choice, done: Redriven) -> None:
    for found in groups:
        redriver.redrive(found, choice, done)
