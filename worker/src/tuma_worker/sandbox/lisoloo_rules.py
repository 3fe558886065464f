"""Lisoloo's rules for the body of POST /send, in the order in which the stand-in applies them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from tuma_worker.sandbox.life import MAGIC
from tuma_worker.sandbox.lisoloo_calendar import check_dates, check_recurrence
from tuma_worker.sandbox.lisoloo_errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuma_worker.sandbox.settings import Settings

    Rule = Callable[[dict[str, object], Settings], Problem | None]

_NUMBER = re.compile(r"\+?\d{1,15}", re.ASCII)
_MAX_RECIPIENTS = 1000
_MAX_CHARACTERS = 1600
_LONGEST_HOLD = 3600  # seconds
_FIELD_OF = {"scheduled": "scheduled_dates", "recurring": "recurring_schedule"}


def check_send(body: dict[str, object], settings: Settings, now: float) -> Problem | None:
    """The first rule that the body breaks; `now` is the time by which dates are past."""
    broken = next((problem for rule in _RULES if (problem := rule(body, settings)) is not None), None)
    return broken or _dates(body, settings, now)


def _required(body: dict[str, object], _settings: Settings) -> Problem | None:
    missing = [name for name in ("to", "message") if body.get(name) is None]
    return Problem("1109", tuple((name, "Field required", "MISSING_REQUIRED_FIELD") for name in missing)) if missing else None


def _recipients(body: dict[str, object], settings: Settings) -> Problem | None:
    to = body["to"]
    if not isinstance(to, list) or not 1 <= len(to) <= _MAX_RECIPIENTS or not all(isinstance(number, str) for number in to):
        return Problem("1101", (("to", "A list of 1 to 1000 texts", "INVALID_RECIPIENTS"),))
    cap = settings.lisoloo.recipient_cap
    if cap is not None and len(to) > cap:
        return Problem("1203", (("to", f"At most {cap} recipients", "RECIPIENT_LIMIT_EXCEEDED"),))
    return None


def _numbers(body: dict[str, object], settings: Settings) -> Problem | None:
    to = cast("list[str]", body["to"])
    bad = [i for i, number in enumerate(to) if not _NUMBER.fullmatch(number) or _refused(number, settings)]
    return Problem("1104", tuple((f"to[{i}]", "Invalid phone number", "INVALID_PHONE_NUMBER") for i in bad)) if bad else None


def _refused(number: str, settings: Settings) -> bool:
    return settings.magic_numbers and MAGIC.get(number[-6:]) == "refused"


def _message(body: dict[str, object], _settings: Settings) -> Problem | None:
    message = body["message"]
    if isinstance(message, str) and 1 <= len(message) <= _MAX_CHARACTERS:
        return None
    return Problem("1102", (("message", "1 to 1600 characters", "INVALID_MESSAGE"),))


def _sender(body: dict[str, object], settings: Settings) -> Problem | None:
    sender = body.get("sender_id")
    if sender is None or (isinstance(sender, str) and re.fullmatch(settings.lisoloo.sender_pattern, sender)):
        return None
    return Problem("1103", (("sender_id", "Up to 11 letters A-Z and digits", "INVALID_SENDER_ID"),))


def _sending_type(body: dict[str, object], settings: Settings) -> Problem | None:
    later = {"scheduled", "recurring"} if settings.lisoloo.sends_for_later else set()
    known = {"immediate"} | later | ({"instant"} if settings.lisoloo.instant_alias else set())
    kind = body.get("sending_type")
    if kind is None or (isinstance(kind, str) and kind in known):
        return None
    return Problem("1105", (("sending_type", "Unknown sending type", "INVALID_SENDING_TYPE"),))


def _no_other_schedule(body: dict[str, object], _settings: Settings) -> Problem | None:
    own = _FIELD_OF.get(str(body.get("sending_type")))
    extra = [name for name in _FIELD_OF.values() if name != own and body.get(name) is not None]
    named = tuple((name, "Not allowed with this sending type", "INVALID_FIELD_FORMAT") for name in extra)
    return Problem("1110", named) if named else None


def _dates(body: dict[str, object], settings: Settings, now: float) -> Problem | None:
    match body.get("sending_type"):
        case "scheduled":
            return check_dates(body, settings.lisoloo, now)
        case "recurring":
            return check_recurrence(body, settings.lisoloo, now)
        case _:
            return None


def _callback(body: dict[str, object], settings: Settings) -> Problem | None:
    url = body.get("callback_url")
    if url is None or is_url(url, http=settings.allow_http_callbacks):
        return None
    return Problem("1108", (("callback_url", "A valid https URL", "INVALID_CALLBACK_URL"),))


def _cancel_within(body: dict[str, object], settings: Settings) -> Problem | None:
    seconds = body.get("cancel_within")
    if seconds is None or not settings.lisoloo.cancel_within:
        return None
    if type(seconds) is not int or not 1 <= seconds <= _LONGEST_HOLD:
        return Problem("1110", (("cancel_within", "Whole seconds, from 1 to 3600", "INVALID_FIELD_FORMAT"),))
    if body.get("sending_type") in _FIELD_OF:
        return Problem("1110", (("cancel_within", "Not allowed with this sending type", "INVALID_FIELD_FORMAT"),))
    return None


def is_url(url: object, *, http: bool) -> bool:
    """Whether it is an https (or, where allowed, http) URL with a host."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and parts.scheme in ({"https", "http"} if http else {"https"})


_RULES: tuple[Rule, ...] = (
    _required, _recipients, _message, _numbers, _sender, _sending_type, _no_other_schedule, _callback, _cancel_within,
)  # fmt: skip
