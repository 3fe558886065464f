"""How a webhook proves where it comes from: by name and password, by a signature, or by both. No I/O; who asks says the time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from pydantic import SecretBytes

from tuma_worker.providers.incoming import header
from tuma_worker.providers.reading import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import SecretStr

TOLERANCE = 300.0  # seconds that a signature may be old, or ahead of our clock


class Proof(Protocol):
    """One thing that shows who sent a webhook."""

    @property
    def header(self) -> str:
        """The header that carries it."""
        ...

    def holds(self, given: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether what that header says is right for this request."""
        ...


@dataclass(frozen=True, slots=True)
class Proofs:
    """All that an account asks of its webhooks. Each must hold, so that another one can be added to those that a provider has."""

    wanted: tuple[Proof, ...]

    @classmethod
    def of(cls, *wanted: Proof | None) -> Self:
        """Those that there are."""
        return cls(tuple(proof for proof in wanted if proof is not None))

    def authentic(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether all of them are there and hold; false where none is asked for."""
        given = [(proof, header(headers, proof.header) or "") for proof in self.wanted]
        return bool(given) and _hold(given, headers, body, now)

    def forged(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether one of them is there and does not hold."""
        given = [(proof, value) for proof in self.wanted if (value := header(headers, proof.header)) is not None]
        return not _hold(given, headers, body, now)


def _hold(given: Iterable[tuple[Proof, str]], headers: Mapping[str, str], body: bytes, now: float) -> bool:
    return all(proof.holds(value, headers, body, now) for proof, value in given)


@dataclass(frozen=True, slots=True)
class Basic:
    """User name and password, as HTTP's Basic scheme writes them; any of `expected` is good. Takes as long whichever it is."""

    expected: Sequence[SecretBytes]
    header: str = "Authorization"

    @classmethod
    def of(cls, username: str | None, *passwords: SecretStr | None) -> Self | None:
        """With one of these passwords; None where there is none."""
        expected = [SecretBytes(f"{username}:{one.get_secret_value()}".encode()) for one in passwords if one is not None]
        return cls(expected) if expected else None

    def holds(self, given: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:  # noqa: ARG002 - it covers neither
        """Whether these are the credentials."""
        credentials = _credentials(given)
        matches = [hmac.compare_digest(credentials, one.get_secret_value()) for one in self.expected]
        return any(matches)


@dataclass(frozen=True, slots=True)
class Signed:
    """The HMAC-SHA256, in hex and perhaps after `sha256=`, that one of the secrets makes of the body.

    With `timestamp_header`, whose value is Unix seconds, it is that of `<timestamp>.<body>`, and good for `TOLERANCE` around then:
    who overhears a webhook cannot play it again later. Takes as long whichever secret it is, and however much of it is right.
    """

    header: str
    secrets: Sequence[SecretBytes]
    timestamp_header: str | None = None

    @classmethod
    def of(cls, header: str, timestamp_header: str | None, *secrets: SecretStr | None) -> Self | None:
        """By one of these secrets; None where there is none."""
        known = [SecretBytes(secret.get_secret_value().encode()) for secret in secrets if secret is not None]
        return cls(header, known, timestamp_header) if known else None

    def holds(self, given: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether it is the signature of this body, and no old one."""
        signature = given.strip().lower().removeprefix("sha256=").encode()
        signed_at = None if self.timestamp_header is None else header(headers, self.timestamp_header) or ""
        content = body if signed_at is None else signed_at.encode() + b"." + body
        matches = [hmac.compare_digest(signature, _digest(secret, content)) for secret in self.secrets]
        return any(matches) and (signed_at is None or _is_fresh(signed_at, now))


def _digest(secret: SecretBytes, content: bytes) -> bytes:
    return hmac.new(secret.get_secret_value(), content, hashlib.sha256).hexdigest().encode()


def _is_fresh(signed_at: str, now: float) -> bool:
    moment = whole(signed_at)
    return moment is not None and abs(now - moment) <= TOLERANCE


def _credentials(value: str) -> bytes:
    """The `user:password` of a Basic header; empty for anything else."""
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
