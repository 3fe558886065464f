"""The kinds of values that settings have, and what is checked of each; every message says the rule and what to do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints

from tuma_producer import quiet
from tuma_producer.contract import address
from tuma_producer.contract.routing import OTHERS
from tuma_producer.countries import COUNTRIES
from tuma_producer.intents import MAX_FAILOVER
from tuma_producer.templates import Template
from tuma_worker.core import funds
from tuma_worker.core.limits import Limit


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret still to be read from `path`; `beside` is True if the same place also gives the secret itself."""

    path: str
    beside: bool


def _secret_text(value: object) -> object:
    if isinstance(value, SecretFile):
        value = _read_secret(value)
    if isinstance(value, str) and not value.strip():
        message = "is empty; write the secret there, or remove the setting"
        raise ValueError(message)
    return value.strip() if isinstance(value, str) else value


def _read_secret(file: SecretFile) -> str:
    if file.beside:
        message = "is given twice, directly and as a file; remove one of the two"
        raise ValueError(message)
    try:
        return Path(file.path).read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot be read from {file.path} ({error.strerror}); correct the path or the file's permissions"
    except ValueError:
        message = f"cannot be read from {file.path} (not UTF-8 text); write the secret there as plain text"
    raise ValueError(message)


def _listed(value: object) -> object:
    """Take `a, b` for `["a", "b"]`: in a variable a list is written either way."""
    if not isinstance(value, str) or value.lstrip().startswith("["):
        return json_text(value)
    return [item.strip() for item in value.split(",")]


def json_text(value: object) -> object:
    """Return what `value` says as JSON if it is text, else `value` itself; raise `ValueError` with the place of a mistake."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        message = f"is not JSON (line {error.lineno}, column {error.colno}); correct it"
    except (ValueError, RecursionError):
        message = "is not JSON that can be read: nested too deeply, or a number too long; correct it"
    raise ValueError(message)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _reserve(value: str) -> str:
    funds.Reserve.parse(value)
    return value


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable:
        message = "must be an http:// or https:// address without user and password; correct it"
        raise ValueError(message)
    return value.rstrip("/")


def _redis_address(value: str) -> str:
    try:
        address.parse(value)
    except ValueError as error:
        message = f"{error}; correct it"
        raise ValueError(message) from None
    return value


def _distinct_limits(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        message = "must name at least one limit; leave it out for what the provider documents"
        raise ValueError(message)
    seen: set[str] = set()
    for text in texts:
        name = Limit.parse(text).name
        if name in seen:
            message = f"has two limits for the same count and window ({text!r} is the second); keep the smaller"
            raise ValueError(message)
        seen.add(name)
    return texts


def _share_left(floors: dict[str, float]) -> dict[str, float]:
    if sum(floors.values()) >= 1:
        message = "must add up to less than 1, or nothing is left for other lanes; lower them"
        raise ValueError(message)
    return floors


def _hours(text: str) -> str:
    quiet.Hours.parse(text)
    return text


def _known_countries(countries: dict[str, str]) -> dict[str, str]:
    for country in countries:
        if country not in COUNTRIES:
            message = f"has {country!r}, which is no country of two capital letters, such as CD or KE; correct it"
            raise ValueError(message)
    return countries


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            ip_network(text)
        except ValueError:
            message = f"has {text!r}, which is no address or network such as 203.0.113.0/24; correct it"
            raise ValueError(message) from None
    return texts


def _template(text: str) -> str:
    try:
        Template.parse(text)
    except ValueError as error:
        message = f"{error}; correct it"
        raise ValueError(message) from None
    return text


_PREFIX = r"\+[1-9][0-9]{0,6}"


def _each_once(accounts: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(accounts) <= MAX_FAILOVER + 1 or len(set(accounts)) < len(accounts):
        message = f"must name 1 to {MAX_FAILOVER + 1} accounts, each once; correct the list"
        raise ValueError(message)
    return accounts


def _prefixes_or_others(route: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    if not route:
        message = f"must have accounts for at least one prefix, or for {OTHERS!r}, all other numbers; add them"
        raise ValueError(message)
    for prefix in route:
        if prefix != OTHERS and not re.fullmatch(_PREFIX, prefix):
            message = f"has {prefix!r}, which is neither a prefix such as +243 nor {OTHERS!r} for all other numbers; correct it"
            raise ValueError(message)
    return route


def _one_list_for_each_first(route: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The recipients of a send that go by the same account first are one send, which has one list."""
    seen: dict[str, str] = {}
    for prefix, (first, *_) in route.items():
        other = seen.setdefault(first, prefix)
        if route[prefix] != route[other]:
            message = f"has two lists that begin with {first!r}, for {other!r} and {prefix!r}; make them the same"
            raise ValueError(message)
    return route


Lane = Literal["otp", "transactional", "bulk"]
AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Secret = Annotated[SecretStr, BeforeValidator(_secret_text)]
RedisAddress = Annotated[str, BeforeValidator(_secret_text), AfterValidator(_redis_address)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # in seconds, none at all included
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Limits = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_distinct_limits)]
Floors = Annotated[dict[Lane, Share], BeforeValidator(json_text), AfterValidator(_share_left)]
LaneSeconds = Annotated[dict[Lane, Annotated[int, Field(ge=1, le=86_400)]], BeforeValidator(json_text)]  # whole ones
Lanes = Annotated[tuple[Lane, ...], BeforeValidator(_listed)]
Prefix = Annotated[str, StringConstraints(pattern=f"^{_PREFIX}$")]
Prefixes = Annotated[tuple[Prefix, ...], BeforeValidator(_listed)]
RouteAccounts = Annotated[tuple[AccountName, ...], BeforeValidator(_listed), AfterValidator(_each_once)]
Route = Annotated[dict[str, RouteAccounts], AfterValidator(_prefixes_or_others), AfterValidator(_one_list_for_each_first)]
TemplateName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
TemplateText = Annotated[str, AfterValidator(_template)]
Templates = Annotated[dict[TemplateName, TemplateText], BeforeValidator(json_text)]
ProviderTemplates = Annotated[dict[TemplateName, Text], BeforeValidator(json_text)]
Price = Annotated[Decimal, Field(gt=0, max_digits=18)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Reserve = Annotated[str, AfterValidator(_reserve)]
Approved = Annotated[dict[Text, Prefixes], BeforeValidator(json_text)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
Networks = Annotated[tuple[Text, ...], BeforeValidator(_listed), AfterValidator(_networks)]
Hours = Annotated[str, AfterValidator(_hours)]
CountryHours = Annotated[dict[str, Hours], BeforeValidator(json_text), AfterValidator(_known_countries)]
Level = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
