"""`tuma dead`: what ended without reaching anybody for a reason that a person may put right; sending it again, or letting it go."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tuma_producer.contract.ids import split_id
from tuma_producer.contract.times import moment
from tuma_producer.errors import TumaError, UnknownIntent
from tuma_producer.intents import mask, normalise_number
from tuma_worker.bootstrap.reality import fresh_name
from tuma_worker.cli.output import NOT_AS_WISHED, Json, ShowNumbers, complain, say, say_json, screen, table
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import Reach, reach
from tuma_worker.cli.reading import seconds
from tuma_worker.core.dead import DeadClass
from tuma_worker.dispatch.redriving import LATE, Redriven, Redriver
from tuma_worker.store.dead import Choice, DeadLetters, Leaving, Letter, LetterFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SHOWN = 100  # letters in a table for people

app = typer.Typer(invoke_without_command=True)

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID[:NUMBER]]...", help="An intent's dead letters, or one.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="Every dead letter.")]
Account = Annotated[str | None, typer.Option(help="Only this account's.", show_default=False)]
Kind = Annotated[
    list[str] | None, typer.Option("--class", help=f"Only this class: {', '.join(DeadClass)} (repeatable).", show_default=False)
]
Source = Annotated[str | None, typer.Option(help="Only this source's.", show_default=False)]
OlderThan = Annotated[float | None, typer.Option(parser=seconds, help="Only those dead for so many seconds.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@dataclass(frozen=True, slots=True)
class _Filter:
    """Which letters of which accounts, as the options say."""

    account: str | None = None
    kinds: frozenset[DeadClass] | None = None
    source: str | None = None
    older_than: float | None = None

    def accounts(self, store: Reach) -> Iterator[DeadLetters]:
        """The accounts to look through. Raises `UnknownAccount`."""
        if self.account is not None:
            store.expect([self.account])
        for name in store.producer.accounts() if self.account is None else [self.account]:
            yield DeadLetters(store.redis, name)

    def wanted(self, letters: DeadLetters) -> LetterFilter:
        """What is wanted of an account, by the server's clock."""
        before = None if self.older_than is None else letters.now() - round(self.older_than * 1000)
        return LetterFilter(self.kinds or frozenset(DeadClass), self.source, before)


def _filter(account: str | None, kinds: list[str] | None, source: str | None, older_than: float | None) -> _Filter:
    for kind in kinds or ():
        if kind not in set(DeadClass):
            message = f"--class: {kind!r} is not one of {', '.join(DeadClass)}"
            raise TumaError(message)
    return _Filter(account, frozenset(map(DeadClass, kinds)) if kinds else None, source, older_than)


# -------------------------------------------------------------------------------------------------------------- looking


@app.callback()
def dead(context: typer.Context, *, json: Json = False) -> None:
    """Show how many messages ended without reaching anybody for a reason that may be put right, by account and class.

    Example: tuma dead
    """
    if context.invoked_subcommand is not None:
        return
    with reach() as store:
        found = {letters.account: letters.counts() for letters in _Filter().accounts(store)}
    if json:
        say_json([{"account": account, "classes": counts} for account, counts in found.items()])
        return
    rows = [(account, kind, count) for account, counts in found.items() for kind, count in counts.items()]
    if rows:
        screen().print(table(["account", "class", "recipients"], rows))
    else:
        say("no dead letters")


@app.command("list")
def list_(
    *,
    account: Account = None,
    kind: Kind = None,
    source: Source = None,
    older_than: OlderThan = None,
    show_numbers: ShowNumbers = False,
    json: Json = False,
) -> None:
    """List dead letters, the oldest of each account first. With --json a line for each.

    Example: tuma dead list --class rejected --account lisoloo-main
    """
    chosen = _filter(account, kind, source, older_than)
    with reach() as store:
        found = (letter for letters in chosen.accounts(store) for page in letters.walk(chosen.wanted(letters)) for letter in page)
        if json:
            for letter in found:
                say_json(_as_json(letter, show_numbers=show_numbers))
            return
        _draw(list(islice(found, _SHOWN)), show_numbers=show_numbers)
        if more := sum(1 for _ in found):
            say(f"and {more} more; --json has them all")


@app.command()
def show(
    intent_id: Annotated[str, typer.Argument(metavar="ID", help="The intent's id, as `tuma dead list` shows it.")],
    *,
    show_numbers: ShowNumbers = False,
    json: Json = False,
) -> None:
    """Show an intent's dead letters, with the calls that were made for it.

    Example: tuma dead show lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e
    """
    with reach() as store:
        intent = store.producer.get(intent_id)
        letters, short_id = _place(store, intent_id)
        found = letters.of_intent(short_id)
    if not found:
        complain(f"{intent_id} has no dead letters; see: tuma get {intent_id}")
        raise typer.Exit(NOT_AS_WISHED)
    if json:
        attempts = [asdict(attempt) for attempt in intent.attempts]
        say_json({"letters": [_as_json(letter, show_numbers=show_numbers) for letter in found], "attempts": attempts})
        return
    _draw(found[:_SHOWN], show_numbers=show_numbers)
    if len(found) > _SHOWN:
        say(f"and {len(found) - _SHOWN} more; --json has them all")
    calls = [(one.id, one.phase, one.started, one.ended, one.code) for one in intent.attempts]
    screen().print(table(["attempt", "phase", "started (UTC)", "ended (UTC)", "code"], calls))


def _place(store: Reach, intent_id: str) -> tuple[DeadLetters, str]:
    parts = split_id(intent_id)
    if parts is None:
        raise UnknownIntent(intent_id)
    return DeadLetters(store.redis, parts[0]), parts[1]


def _draw(found: list[Letter], *, show_numbers: bool) -> None:
    columns = ("id", "number", "class", "reason", "source", "dead since (UTC)", "attempt")
    rows = [
        (one.intent_id, _number(one, shown=show_numbers), one.kind, one.reason, one.source, moment(one.died), one.attempt)
        for one in found
    ]
    screen().print(table(columns, rows))


def _as_json(letter: Letter, *, show_numbers: bool) -> dict[str, Any]:
    return {
        "id": letter.intent_id, "number": _number(letter, shown=show_numbers), "class": letter.kind, "reason": letter.reason,
        "source": letter.source, "died": moment(letter.died), "attempt": letter.attempt,
    }  # fmt: skip


def _number(letter: Letter, *, shown: bool) -> str:
    return letter.number if shown else mask(letter.number)


# -------------------------------------------------------------------------------------------------------------- choosing


_Group = tuple[DeadLetters, list[Letter], Leaving]  # of one intent


@dataclass
class _Chosen:
    """The letters that a command is about, and those among them that it passes over."""

    store: Reach
    ids: list[str]
    filter: _Filter
    spare_unknown: bool
    by: str
    spared: int = 0
    missing: int = 0

    def total(self) -> int | None:
        """How many letters there are to look at, about; None where only intents are named."""
        return None if self.ids else sum(letters.size() for letters in self.filter.accounts(self.store))

    def groups(self) -> Iterator[_Group]:
        """The chosen letters, those of one intent together."""
        for letters, found, leaving in self._by_id() if self.ids else self._by_filter():
            chosen = [one for one in found if not (self.spare_unknown and one.kind is DeadClass.UNKNOWN)]
            self.spared += len(found) - len(chosen)
            if chosen:
                yield letters, chosen, leaving

    def _by_filter(self) -> Iterator[_Group]:
        for letters in self.filter.accounts(self.store):
            wanted = self.filter.wanted(letters)
            leaving = Leaving(self.by, str(wanted))
            for found in letters.intents(wanted):
                yield letters, found, leaving

    def _by_id(self) -> Iterator[_Group]:
        for given in dict.fromkeys(self.ids):
            intent_id, _, rest = given.partition(":")
            number = _normal(rest) if rest else None
            letters, short_id = _place(self.store, intent_id)
            found = [one for one in letters.of_intent(short_id) if number in {None, one.number}]
            if not found:
                self.missing += 1
                complain(f"{intent_id}: no such dead letter")
            yield letters, found, Leaving(self.by, intent_id)


def _normal(number: str) -> str:
    try:
        return normalise_number(number)
    except ValueError as error:
        raise TumaError(str(error)) from None


def _choose(store: Reach, ids: list[str] | None, chosen: _Filter, by: str | None, *, every: bool, spare_unknown: bool) -> _Chosen:
    """Which letters the command line names. Raises `TumaError` where it names none, or in two ways."""
    filtered = chosen != _Filter()
    if bool(ids) + (every or filtered) != 1:
        message = "say which: ids, or --all, or --account, --class, --source, --older-than"
        raise TumaError(message)
    return _Chosen(store, ids or [], chosen, spare_unknown=spare_unknown and not ids and chosen.kinds is None, by=who(by))


@contextmanager
def _progress(chosen: _Chosen, doing: str) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal, and a function that moves it on by so many."""
    console = screen(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, redirect_stdout=False) as bar:
        shown = bar.add_task(doing, total=chosen.total())
        yield lambda count: bar.advance(shown, count)


# ---------------------------------------------------------------------------------------------------------------- acting


@app.command()
def redrive(
    ids: Ids = None,
    *,
    every: All = False,
    account: Account = None,
    kind: Kind = None,
    source: Source = None,
    older_than: OlderThan = None,
    account_to: Annotated[str | None, typer.Option(help="Send through this account instead.", show_default=False)] = None,
    sender: Annotated[str | None, typer.Option(help="Send with this sender instead.", show_default=False)] = None,
    expires_in: Annotated[
        float | None,
        typer.Option(parser=seconds, help="A new deadline, in seconds from now; the old one holds otherwise.", show_default=False),
    ] = None,
    dry_run: DryRun = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Send dead letters again, those of one intent as one new intent.

    What is `unknown` may have arrived: it goes only by its id or with --class unknown. What is past its deadline goes only with
    --expires-in. A redrive that was cut short is finished by the next one, as it was chosen then. Status 1: some were passed over.

    Example: tuma dead redrive --class rejected --sender KITOKO
    """
    done = Redriven()
    with reach() as store:
        chosen = _choose(store, ids, _filter(account, kind, source, older_than), by, every=every, spare_unknown=True)
        if account_to is not None:
            store.expect([account_to])
        try:
            with _progress(chosen, "redriving") as advance:
                for letters, found, leaving in chosen.groups():
                    choice = Choice(account_to or letters.account, sender, expires_in)
                    redriver = Redriver(store.producer, letters, fresh_name, leaving)
                    if dry_run:
                        redriver.foresee(found, choice, done)
                    else:
                        redriver.redrive(found, choice, done)
                    advance(len(found))
        finally:
            # Also where Redis goes away half-way: what was redriven until then will be sent.
            _tell_redriven(done, chosen, dry_run=dry_run, json=json)
    if done.skipped or chosen.missing:
        raise typer.Exit(NOT_AS_WISHED)


def _tell_redriven(done: Redriven, chosen: _Chosen, *, dry_run: bool, json: bool) -> None:
    if json:
        whole = {"redriven": done.recipients, "intents": done.intents, "skipped": dict(done.skipped)}
        say_json(whole | {"unknown_left": chosen.spared, "dry_run": dry_run})
        return
    say(f"{'would redrive' if dry_run else 'redriven'}: {done.recipients}")
    if len(done.intents) == 1:
        say(f"as {done.intents[0]}")
    for why, count in done.skipped.items():
        say(f"passed over: {count}, {why}{'; give another with --expires-in' if why == LATE else ''}")
    if chosen.spared:
        say(f"left: {chosen.spared} unknown, which may have arrived; name them with --class unknown to send them again")


@app.command()
def drop(
    ids: Ids = None,
    *,
    every: All = False,
    account: Account = None,
    kind: Kind = None,
    source: Source = None,
    older_than: OlderThan = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Let dead letters go for good: they stay ended, and are listed here no more.

    Example: tuma dead drop --older-than 86400 --yes
    """
    dropped: Counter[str] = Counter()
    with reach() as store:
        chosen = _choose(store, ids, _filter(account, kind, source, older_than), by, every=every, spare_unknown=False)
        if not dry_run and not yes:
            _confirm(chosen)
        with _progress(chosen, "dropping") as advance:
            for letters, found, leaving in chosen.groups():
                if not dry_run:
                    letters.drop(found[0].short_id, [one.number for one in found], leaving)
                dropped.update(one.kind for one in found)
                advance(len(found))
    if json:
        say_json({"dropped": dropped.total(), "classes": dict(dropped), "dry_run": dry_run})
    else:
        say(f"{'would drop' if dry_run else 'dropped'}: {dropped.total()}")
    if chosen.missing:
        raise typer.Exit(NOT_AS_WISHED)


def _confirm(chosen: _Chosen) -> None:
    if not sys.stdin.isatty():
        message = "dropping cannot be taken back; repeat it with --yes, or look first with --dry-run"
        raise TumaError(message)
    what = f"the dead letters of {len(chosen.ids)} ids" if chosen.ids else f"what was chosen of {chosen.total()} dead letters"
    typer.confirm(f"drop {what}?", abort=True, err=True)
