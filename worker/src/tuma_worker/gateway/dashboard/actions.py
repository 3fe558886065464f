"""What can be done on the dashboard: each reads a form, acts in the name of the token, and says what it came to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from tuma_worker.core.dead import DeadClass
from tuma_worker.gateway import bodies, dead, intents
from tuma_worker.gateway.dashboard.words import count, many
from tuma_worker.gateway.operating import queue_named, scope_of, steering
from tuma_worker.queue.config import SEND
from tuma_worker.store.dead import Choice, DeadLetters, LetterFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_producer.results import Verb
    from tuma_worker.dispatch.redriving import Redriven
    from tuma_worker.gateway.desk import Ask
    from tuma_worker.store.steering import Scope

    Form = Mapping[str, str]

_STOPPED = {"cancel": "cancelled", "pause": "paused", "resume": "in the line again"}
_OUTCOMES = {"too-late": "too late", "requested": "the provider is asked", "unsupported": "the provider cannot"}


# ------------------------------------------------------------------------------------------------------ accounts and queues


async def resume_account(ask: Ask, form: Form) -> str:
    """Put an account to work again that is halted or whose breaker is open."""
    account = await ask.known(form.get("account", ""))
    resumed = await run_in_threadpool(steering(ask, account, SEND).resume_account)
    return f"{account} is resumed." if resumed else f"{account} was neither halted nor its breaker open."


async def pause_queue(ask: Ask, form: Form) -> str:
    """Let no further call start."""
    account, operation, scope = await _what(ask, form)
    await run_in_threadpool(steering(ask, account, operation).pause, scope)
    return f"{_named(account, scope)} is paused. Calls in flight end."


async def resume_queue(ask: Ask, form: Form) -> str:
    """Let calls start again."""
    account, operation, scope = await _what(ask, form)
    resumed = await run_in_threadpool(steering(ask, account, operation).resume, scope)
    return f"{_named(account, scope)} is resumed." if resumed else f"{_named(account, scope)} was not paused."


async def _what(ask: Ask, form: Form) -> tuple[str, str, Scope]:
    """Which queue, and how much of it."""
    scope = scope_of({name: form[name] for name in ("priority", "source") if form.get(name)})
    account, operation = await queue_named(ask, form.get("queue", ""))
    return account, operation, scope


def _named(account: str, scope: Scope) -> str:
    if scope.lane is None and scope.source is None:
        return account
    return f"{account}, {'priority' if scope.lane else 'source'} {scope},"


# --------------------------------------------------------------------------------------------------- intents and campaigns


async def _steer_intent(verb: Verb, ask: Ask, form: Form) -> str:
    result = await intents.steered(ask, form.get("id", ""), verb)
    return _in_words(verb, result.outcome, len(result.stopped), len(result.with_provider), len(result.ended))


pause_intent = partial(_steer_intent, "pause")
resume_intent = partial(_steer_intent, "resume")
cancel_intent = partial(_steer_intent, "cancel")


async def _steer_campaign(verb: Verb, ask: Ask, form: Form) -> str:
    account, campaign = form.get("account", ""), form.get("campaign", "")
    result = await getattr(ask.producer, f"{verb}_campaign")(account, campaign, by=ask.token.name)
    return f"{campaign}: " + _in_words(verb, result.outcome, result.stopped, result.with_provider, result.ended)


pause_campaign = partial(_steer_campaign, "pause")
resume_campaign = partial(_steer_campaign, "resume")
cancel_campaign = partial(_steer_campaign, "cancel")


def _in_words(verb: Verb, outcome: str, stopped: int, with_provider: int, ended: int) -> str:
    told = ((stopped, _STOPPED[verb]), (with_provider, "with the provider"), (ended, "ended before"))
    numbers = ", ".join(f"{count(number)} {what}" for number, what in told if number)
    return f"{verb}: {_OUTCOMES.get(outcome, outcome)}" + (f" ({numbers})." if numbers else ".")


# ------------------------------------------------------------------------------------------------------------ dead letters


async def redrive(ask: Ask, form: Form) -> str:
    """Send dead letters again: those of one intent, or all of an account that are of one class."""
    if "id" in form:
        letters, found = await dead.of_intent(ask, form["id"])
        return _redriven(await dead.redrive(ask, letters, Choice(letters.account), found, form["id"]))
    letters = DeadLetters(ask.desk.store, await ask.known(form.get("account", "")))
    wanted = LetterFilter(frozenset({_class(form)}))
    return _redriven(await dead.redrive(ask, letters, await _choice(ask, letters, form), letters.intents(wanted), str(wanted)))


async def drop(ask: Ask, form: Form) -> str:
    """Let an intent's dead letters go for good."""
    intent_id = form.get("id", "")
    letters, found = await dead.of_intent(ask, intent_id)
    dropped = await dead.drop(ask, letters, found, intent_id)
    return f"{many(dropped.total(), 'dead letter')} dropped."


def _class(form: Form) -> DeadClass:
    try:
        return DeadClass(form.get("class", ""))
    except ValueError:
        bodies.refuse("class", f"must be one of {', '.join(DeadClass)}")


async def _choice(ask: Ask, letters: DeadLetters, form: Form) -> Choice:
    """What is to be different: a field that is left empty says nothing."""
    account = await ask.known(form.get("through") or letters.account)
    expires_in = form.get("expires_in", "").strip()
    try:
        seconds = float(expires_in) if expires_in else None
    except ValueError:
        bodies.refuse("expires_in", "must be a number of seconds")
    if seconds is not None and not seconds > 0:
        bodies.refuse("expires_in", "must be more than 0")
    return Choice(account, form.get("sender_id", "").strip() or None, seconds)


def _redriven(done: Redriven) -> str:
    told = f"{many(done.recipients, 'recipient')} sent again, as {many(len(done.intents), 'intent')}."
    skipped = "; ".join(f"{count(number)} left: {why}" for why, number in done.skipped.items())
    return told + (f" {skipped}." if skipped else "")
