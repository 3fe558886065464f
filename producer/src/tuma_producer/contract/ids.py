"""Ids, and the digests that stand for texts: what names an intent, and what a name tells."""

from __future__ import annotations

import secrets
import time
from hashlib import blake2b

CALLS_BACK = "-"  # ends the ids of intents with a `callback_url`: nobody need look into the records of the others to find them


def new_id() -> str:
    """An id that sorts by time and cannot be guessed: milliseconds, then 60 random bits, in hexadecimal."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.randbits(60):015x}"


def full_id(account: str, short_id: str) -> str:
    """The id that users see. It names the account, so that an id alone is enough to find the record."""
    return f"{account}.{short_id}"


def split_id(intent_id: str) -> tuple[str, str] | None:
    """Account and short id, or None where the text cannot be an intent's id."""
    account, _, short_id = intent_id.rpartition(".")
    return (account, short_id) if account and short_id else None


def digest(*parts: str | None) -> str:
    """128 bits, in hexadecimal, that stand for these texts; no two different sequences share them in practice."""
    # Each part follows its length: otherwise ("ab", "c") and ("a", "bc") would be one text.
    framed = "".join(["-" if part is None else f"{len(part)}:{part}" for part in parts])
    return blake2b(framed.encode(), digest_size=16).hexdigest()


def carrier_id(account: str, home: str, short_id: str, turn: int) -> str:
    """The full id of the intent by which `account` carries recipients of another account's, the `turn`th of that."""
    return full_id(account, f"{short_id}~{home}~{turn}")


def home_of(intent_id: str) -> str | None:
    """The intent that this one carries recipients of; None where it carries none."""
    short_id, *home = intent_id.rpartition(".")[2].split("~")
    return full_id(home[0], short_id) if home else None


def calls_back(intent_id: str) -> bool:
    """Whether its events are to go to a `callback_url` of its own."""
    return intent_id.endswith(CALLS_BACK)
