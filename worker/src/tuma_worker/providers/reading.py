"""Reading what strangers wrote: JSON whose every field may be missing or of another type.

Each function answers None for what it cannot read. None of them raises, and none puts content into a message.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_LOOKS_LIKE_A_NUMBER = re.compile(r"\d{8}")
_NO_DIGITS = re.compile(r"[^0-9]+")
_MAX_ID = 200
_MAX_NUMBER = 15
_MAX_DELAY = 86_400.0
_MAX_COUNT = 10**15
_MAX_MONEY = 10**12  # in millionths it is still a number that Redis can add to


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent that no decimal can have
        return None


_BLANK = " \t\n\r"  # as JSON has it
_DECODER = json.JSONDecoder(parse_float=_decimal, parse_constant=lambda _: None)  # making one takes longer than reading a receipt


def json_object(body: bytes) -> Mapping[str, object] | None:
    """The JSON object that `body` holds; None for anything else. Fractions are decimals; what none can be, as NaN, is null."""
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass").strip(_BLANK)
        value, end = _DECODER.raw_decode(text)  # `decode` looks for blanks by a pattern, twice, and takes half as long again
    except (ValueError, RecursionError):
        return None
    return value if end == len(text) and isinstance(value, dict) else None


def section(value: object, name: str) -> Mapping[str, object]:
    """The object under `name`; an empty one where there is none."""
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def items(value: object, name: str) -> list[object]:
    """The array under `name`; an empty one where there is none."""
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, list) else []


def identifier(value: object) -> str | None:
    """An opaque id: a text, or an integer written as one."""
    if isinstance(value, str):
        text = value.strip()
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    else:
        return None
    return text if 0 < len(text) <= _MAX_ID else None


def code(value: object) -> str | None:
    """A symbol that is safe to keep and to log: one short word without anything that might be a phone number."""
    text = identifier(value)
    if text is None or not _CODE.fullmatch(text) or _LOOKS_LIKE_A_NUMBER.search(text):
        return None
    return text


def reference(value: object) -> str | None:
    """An id that the provider's support may ask for. Unlike a code it may hold a long run of digits."""
    text = identifier(value)
    return text if text is not None and _CODE.fullmatch(text) else None


def money(value: object) -> Decimal | None:
    """An amount, given as a number or as text; none that nobody could be asked to pay."""
    amount = _number(value)
    return amount if amount is not None and abs(amount) <= _MAX_MONEY else None


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def digits(number: str) -> str:
    """The digits of a phone number, by which two spellings of it are compared."""
    return _NO_DIGITS.sub("", number).removeprefix("00")


def phone(value: object) -> str | None:
    """A phone number as a plus sign and its digits."""
    text = digits(identifier(value) or "")
    return f"+{text}" if 0 < len(text) <= _MAX_NUMBER else None


def milliseconds(value: object) -> int | None:
    """An ISO 8601 time as Unix milliseconds. A time without a zone is taken for UTC."""
    moment = instant(value)
    return None if moment is None else (moment - _EPOCH) // _MILLISECOND


def instant(value: object) -> datetime | None:
    """An ISO 8601 time, or a day's beginning. Without a zone it is taken for UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def integer(value: object) -> int | None:
    """A count, given as a number or as text."""
    amount = _number(value)
    return int(amount) if amount is not None and abs(amount) < _MAX_COUNT and amount == amount.to_integral_value() else None


def seconds(value: object) -> float | None:
    """A delay in seconds, at most a day: a provider that asks for more is asked again tomorrow."""
    amount = _number(value)
    if amount is None or amount < 0:
        return None
    return min(float(amount), _MAX_DELAY)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The `Retry-After` header in seconds. A date is compared with the response's own `Date`, so no clock of ours enters."""
    text = headers.get("Retry-After")
    delay = seconds(text)
    if delay is not None or text is None:
        return delay
    until, now = _http_date(text), _http_date(headers.get("Date"))
    return None if until is None or now is None else min(max(until - now, 0.0), _MAX_DELAY)


def until(moment: float, headers: Mapping[str, str]) -> float | None:
    """The seconds from the response's own `Date` to `moment`, Unix seconds; None where it is past or the date is missing."""
    now = _http_date(headers.get("Date"))
    return min(moment - now, _MAX_DELAY) if now is not None and moment > now else None


def whole(value: str | None) -> int | None:
    """A header's whole number; negative ones are nothing left, thus zero."""
    amount = _number(value)
    if amount is None or not math.isfinite(float(amount)) or amount != amount.to_integral_value():
        return None
    return max(int(amount), 0)


def _http_date(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
