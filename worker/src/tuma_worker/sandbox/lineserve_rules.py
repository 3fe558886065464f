"""Lineserve's rules for the bodies of its send endpoints, and its error body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from tuma_worker.sandbox.life import MAGIC
from tuma_worker.sandbox.lisoloo_rules import is_url

if TYPE_CHECKING:
    from tuma_worker.sandbox.settings import Settings

_NUMBER = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_SENDER = re.compile(r"[A-Za-z0-9]{1,11}", re.ASCII)
_MAX_CHARACTERS = 1600

STATUS_BY_CODE = {
    "invalid_phone_number": 400,
    "invalid_parameter": 400,
    "sender_id_not_approved": 403,
    "insufficient_balance": 403,
    "account_suspended": 403,
    "message_too_long": 422,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "invalid_template": 404,
    "unauthorized": 401,
    "not_found": 404,
    "internal_error": 500,
    "service_unavailable": 503,
}
"""The documents give no HTTP status per code; these, and the codes that are not in its list of six, are assumed."""

_TEXTS = {
    "invalid_phone_number": "The phone number is not valid",
    "sender_id_not_approved": "The sender ID is not approved for this account",
    "insufficient_balance": "Insufficient balance",
    "invalid_template": "The template does not exist or does not fit its variables",
    "message_too_long": "The message is longer than 1600 characters",
    "rate_limit_exceeded": "Rate limit exceeded",
    "unauthorized": "Invalid API key",
}


def error(code: str, field: str = "", value: object = None, status: int | None = None) -> Response:
    """One `error` object, with `details` where a field is to blame."""
    body: dict[str, object] = {"code": code, "message": _TEXTS.get(code, code.replace("_", " ").capitalize())}
    if field:
        body["details"] = {"field": field, "value": value}
    return JSONResponse({"error": body}, STATUS_BY_CODE.get(code, 400) if status is None else status)


def is_number(number: object, settings: Settings) -> bool:
    """Whether the number is in international form, and is not the magic one that is refused."""
    if not isinstance(number, str) or not _NUMBER.fullmatch(number):
        return False
    return not (settings.magic_numbers and MAGIC.get(number[-6:]) == "refused")


def check_common(body: dict[str, object], settings: Settings) -> Response | None:
    """The first complaint about text, sender or callback."""
    return _check_message(body.get("message")) or _check_sender(body.get("from"), settings) or _check_callback(body, settings)


def check_single(body: dict[str, object], settings: Settings) -> Response | None:
    """The first complaint about the body of /sms/send."""
    to = body.get("to")
    if to is None:
        return error("invalid_parameter", "to")
    return None if is_number(to, settings) else error("invalid_phone_number", "to", to)


def check_bulk(body: dict[str, object], settings: Settings) -> Response | None:
    """The first complaint about the recipients of /sms/bulk; its bad numbers may also be single items' trouble (switch)."""
    to, own = body.get("recipients"), settings.lineserve
    if not isinstance(to, list) or not to or not all(isinstance(number, str) for number in to):
        return error("invalid_parameter", "recipients")
    if len(to) > own.bulk_cap:
        return error("invalid_parameter", "recipients", len(to), own.bulk_cap_status)
    bad = next((number for number in to if not is_number(number, settings)), None)
    if bad is not None and own.bad_bulk_number == "refuse":
        return error("invalid_phone_number", "recipients", bad)
    name = body.get("campaign_name")
    return None if name is None or isinstance(name, str) else error("invalid_parameter", "campaign_name", name)


def _check_message(message: object) -> Response | None:
    if not isinstance(message, str) or not message:
        return error("invalid_parameter", "message")
    return None if len(message) <= _MAX_CHARACTERS else error("message_too_long", "message", len(message))


def _check_sender(sender: object, settings: Settings) -> Response | None:
    if sender is None:
        return None
    approved = settings.lineserve.senders
    if approved and sender not in approved:
        return error("sender_id_not_approved", "from", sender)
    well_formed = isinstance(sender, str) and (sender in approved or _SENDER.fullmatch(sender))
    return None if well_formed else error("invalid_parameter", "from", sender)


def _check_callback(body: dict[str, object], settings: Settings) -> Response | None:
    url = body.get("callback_url")
    if url is None or is_url(url, http=settings.allow_http_callbacks):
        return None
    return error("invalid_parameter", "callback_url", url)
