"""Who looks: people log in with an API token, and their browser keeps the secret of a session in its place.

The token itself goes to no browser's store. The session's secret is in a cookie that no script can read and no other site can make
a browser send; a form shows besides what only a page of ours could tell it (`Session.proof`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_worker.core.tokens import Scope, digest
from tuma_worker.store import sessions

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from tuma_worker.core.tokens import Token
    from tuma_worker.gateway.desk import Desk

COOKIE = "tuma_session"
LOOKS = frozenset({Scope.READ, Scope.WATCH})  # with none of these there is nothing to see


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has logged in, with what their token may do."""

    secret: str
    token: Token

    @property
    def proof(self) -> str:
        """What a form of ours shows, so that no other site's can act: it follows from the secret, and the secret not from it."""
        return digest(f"form:{self.secret}")

    def proves(self, shown: str) -> bool:
        """Whether a form was one of ours."""
        return secrets.compare_digest(self.proof.encode(), shown.encode())


async def log_in(desk: Desk, token: str) -> str | None:
    """Begin a session with this token, and return its secret. None where the token does not hold, or may see nothing."""
    key = digest(token.strip())
    found = await desk.access.holding(key)
    if found is None or LOOKS.isdisjoint(found.rights):
        return None
    secret = desk.secret()
    await sessions.begin(desk.redis, digest(secret), key)
    return secret


async def of(desk: Desk, request: Request) -> Session | None:
    """The session of a request; None where there is none, or its token holds no longer."""
    secret = request.cookies.get(COOKIE)
    if not secret:
        return None
    key = await sessions.token_of(desk.redis, digest(secret))
    token = None if key is None else await desk.access.holding(key)
    return None if token is None else Session(secret, token)


async def log_out(desk: Desk, session: Session) -> None:
    """End a session, for whoever else has its secret too."""
    await sessions.end(desk.redis, digest(session.secret))


def keep(response: Response, request: Request, secret: str) -> None:
    """Let the browser keep the session's secret."""
    response.set_cookie(
        COOKIE, secret, max_age=sessions.LIFETIME, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


def drop(response: Response) -> None:
    """Let the browser forget it."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
