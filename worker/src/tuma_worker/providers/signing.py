"""Whether a webhook's HMAC signature holds. No I/O; whoever asks says what time it is."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from tuma_worker.providers.reading import whole

if TYPE_CHECKING:
    from collections.abc import Sequence

TOLERANCE = 300.0  # seconds that a signature may be old, or ahead of our clock


def signature_holds(secrets: Sequence[bytes], given: str, body: bytes, signed_at: str | None, now: float) -> bool:
    """Whether `given` is the HMAC-SHA256, in hex and perhaps after `sha256=`, that one of the secrets makes of the body.

    With `signed_at`, Unix seconds as a header gave them, it is that of `<signed_at>.<body>`, and good for `TOLERANCE` around then:
    who overhears a webhook cannot play it again later. Takes as long whichever secret it is, and however much of it is right.
    """
    content = body if signed_at is None else signed_at.encode() + b"." + body
    signature = given.strip().lower().removeprefix("sha256=").encode()
    matches = [hmac.compare_digest(signature, hmac.new(secret, content, hashlib.sha256).hexdigest().encode()) for secret in secrets]
    return any(matches) and (signed_at is None or _is_fresh(signed_at, now))


def _is_fresh(signed_at: str, now: float) -> bool:
    moment = whole(signed_at)
    return moment is not None and abs(now - moment) <= TOLERANCE
