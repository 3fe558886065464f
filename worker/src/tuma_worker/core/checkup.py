"""What a look at Redis, workers and the way in of receipts means: what is as it should be, and what mends the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OLDEST_REDIS = (6, 2)
MOST_SKEW = 1.0  # seconds; no promise rests on it, but nobody who reads times of two machines should be misled

_MAY_NOT_SEE = "this user may not read the server's settings"
_SEE = "ask as an administrator of the server: TUMA_REDIS_URL=redis://ADMIN:PASSWORD@HOST tuma doctor"


class Mark(StrEnum):
    """How something is: `unseen` could not be looked at."""

    FINE = "fine"
    WRONG = "wrong"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` says what to do about it, where something is to be done."""

    about: str
    mark: Mark
    said: str
    mend: str = ""


def fine(about: str, said: str) -> Finding:
    """It is as it should be."""
    return Finding(about, Mark.FINE, said)


def wrong(about: str, said: str, mend: str) -> Finding:
    """It must be mended."""
    return Finding(about, Mark.WRONG, said, mend)


def unseen(about: str, said: str, mend: str) -> Finding:
    """It could not be looked at."""
    return Finding(about, Mark.UNSEEN, said, mend)


def server(where: str, kind: str, version: str) -> Finding:
    """Whether this server knows the commands that the scripts use."""
    said = f"{kind} {version} at {where}"
    if kind == "redis" and _numbers(version) < OLDEST_REDIS:
        return wrong("server", said, "run Redis 6.2 or newer, or Valkey")
    return fine("server", said)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def persistence(where: str, settings: Mapping[str, str] | None) -> Finding:
    """Whether what was accepted outlasts the server's process."""
    about = "persistence"
    if settings is None:
        return unseen(about, f"{where}: {_MAY_NOT_SEE}", _SEE)
    fsync = settings.get("appendfsync", "")
    if settings.get("appendonly") != "yes":
        return wrong(
            about, f"{where}: appendonly no: a restart forgets accepted sends", "set appendonly yes and appendfsync everysec"
        )
    if fsync == "no":
        return wrong(about, f"{where}: appendfsync no: a machine that goes down forgets half a minute", "set appendfsync everysec")
    return fine(about, f"{where}: appendonly yes, appendfsync {fsync}")


def eviction(where: str, settings: Mapping[str, str] | None) -> Finding:
    """Whether the server refuses to write when memory runs short, instead of throwing sends away."""
    about = "memory"
    if settings is None:
        return unseen(about, f"{where}: {_MAY_NOT_SEE}", _SEE)
    policy = settings.get("maxmemory-policy", "")
    if policy != "noeviction":
        return wrong(
            about,
            f"{where}: maxmemory-policy {policy}: sends are thrown away when memory runs short",
            "set maxmemory-policy noeviction",
        )
    return fine(about, f"{where}: maxmemory-policy noeviction")


def clock(where: str, ahead: float, give_or_take: float) -> Finding:
    """Whether this machine and the server agree what time it is."""
    said = f"{where} is {abs(ahead):.3f} s {'ahead of' if ahead >= 0 else 'behind'} this machine, give or take {give_or_take:.3f} s"
    if abs(ahead) - give_or_take > MOST_SKEW:
        return wrong("clock", said, "let NTP set the clocks of both")
    return fine("clock", said)


def rights(scripts: int, refused: Sequence[str] | None) -> Finding:
    """Whether the present user may do what Tuma does."""
    loaded = f"{scripts} scripts are loaded"
    if refused is None:
        return unseen(
            "rights", f"{loaded}; servers before Redis 7 do not tell what a user may", "compare its ACL with docs/redis.md"
        )
    if refused:
        return wrong("rights", f"{loaded}, but this user may not run {', '.join(refused)}", "grant it what docs/redis.md lists")
    return fine("rights", f"{loaded}, and this user may run what they call")


def attendance(account: str, *, in_flight: int, came: bool, registered: float | None) -> Finding:
    """Whether a worker follows an account: some have calls in flight, or one `came` when its bell was rung.

    `registered` is how many seconds ago a worker that is configured with the account last said so; None where none ever did.
    """
    about = f"workers of {account}"
    if came or in_flight:
        busy = f"{in_flight} calls in flight" if in_flight else "nothing to do"
        return fine(about, f"one follows its sends; {busy}")
    last = "none has ever run" if registered is None else f"one that is configured with it was heard of {registered:.0f} s ago"
    return wrong(
        about,
        f"none came to its bell: {last}",
        f"start one: tuma worker --account {account}; one whose threads are all busy with other accounts needs more of them",
    )


def way_in(url: str, status: int | None, detail: str) -> Finding:
    """Whether what answers at the public address is the gateway; `status` None where nothing answered, `detail` says why then."""
    about = "receipts"
    if status is None:
        return wrong(about, f"nothing answers at {url}: {detail}", "start `tuma gateway`, and see that TUMA_PUBLIC_URL leads to it")
    if status >= 500:  # noqa: PLR2004 - HTTP's own number
        return wrong(about, f"{url} answers {status}", "see that a gateway stands behind it, and its logs")
    if detail != GATEWAY_SAYS:
        return wrong(
            about,
            f"what answers at {url} ({status}) is no gateway of ours",
            "let TUMA_PUBLIC_URL's /receipts/ lead to `tuma gateway`",
        )
    return fine(about, f"the gateway answers at {url}, as seen from this machine")


GATEWAY_SAYS = "POST receipts here"  # to whoever only asks


def no_way_in() -> Finding:
    """No address is configured at which providers could tell."""
    return unseen(
        "receipts",
        "TUMA_PUBLIC_URL is not set: providers are asked instead of telling",
        "set it to where providers reach the gateway, if they may",
    )
