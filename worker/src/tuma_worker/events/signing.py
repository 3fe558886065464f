"""Signatures of the Standard Webhooks scheme (its specification, "Webhook headers" and "Signature scheme")."""

from __future__ import annotations

import base64
import hmac
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = "whsec_"
_BYTES = 32  # of a secret: the specification wants 24 to 64


def new_secret() -> str:
    """A secret as subscribers are given it: `whsec_` and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def headers(message_id: str, at: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """The three headers of a message sent `at` (Unix seconds); a signature for each secret, so that either is believed."""
    signed = b"%b.%d.%b" % (message_id.encode(), at, body)
    signatures = [f"v1,{_signature(key, signed)}" for key in keys]
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": " ".join(signatures)}


def _signature(key: str, signed: bytes) -> str:
    raw = base64.b64decode(key.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(raw, signed, sha256)).decode()
