"""The rules that every provider's account must keep before a call is made with it. Each raises `ValueError` with one line."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import SecretStr

_KEY = re.compile(r"[!-~]+")
_MAX_PORT = 65_535


def checked_key(key: SecretStr) -> SecretStr:
    """The key, if it can be written into a header at all: a line break from a secret file would fail every call."""
    if not _KEY.fullmatch(key.get_secret_value()):
        message = "api_key: must be one word of printable ASCII without spaces or line breaks"
        raise ValueError(message)
    return key


def checked_base_url(url: str | None, *, production: bool) -> str:
    """The base URL without a slash at its end. In production the key travels encrypted, unless it never leaves this machine."""
    if not url:
        message = "base_url: is missing; copy it from the provider's dashboard"
        raise ValueError(message)
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        message = "base_url: is not a URL"
        raise ValueError(message) from None
    _check_parts(parsed)
    if production and parsed.scheme != "https" and not _is_loopback(parsed.host):
        message = "base_url: must begin with https:// in production"
        raise ValueError(message)
    return url.rstrip("/")


def check_webhook_secret(secret: SecretStr | None) -> None:
    """Raise `ValueError` where the secret is an empty text, which would sign for everybody."""
    if secret is not None and not secret.get_secret_value():
        message = "webhook_secret: is empty; leave it out where the provider signs nothing"
        raise ValueError(message)


def check_inbound(event: str | None, receipts: Collection[str]) -> None:
    """Raise `ValueError` where the event of inbound messages is one of those that tell of our own."""
    if event in receipts:
        message = f"inbound_event: {event} tells of messages that were sent; name the event of those that people write"
        raise ValueError(message)


def _check_parts(url: httpx.URL) -> None:
    if url.scheme not in {"http", "https"} or not url.host:
        message = "base_url: must begin with https:// (or http://) and name a host"
        raise ValueError(message)
    if url.port is not None and not 0 < url.port <= _MAX_PORT:
        message = f"base_url: the port must be between 1 and {_MAX_PORT}"
        raise ValueError(message)
    if url.userinfo or url.query or url.fragment:
        message = "base_url: must not carry credentials, a query or a fragment"
        raise ValueError(message)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
