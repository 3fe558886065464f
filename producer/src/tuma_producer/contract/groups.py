"""Groups: which sends may share a provider's call, as a name that every job of theirs begins with."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.ids import digest, home_of
from tuma_producer.contract.rendered import TEMPLATE, kept
from tuma_producer.text import segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_producer.intents import Send

MOVABLE = "+"  # ends the groups whose jobs may go by another account; no digest has it
LOUD = "!"  # in the groups of sends that go in quiet hours too; no other part of a name has it


def group_for(send: Send, short_id: str) -> str:
    """What may share a call: `actor.segments.most.digest`. Sends with the same text and sender meet in one group.

    Those whose text the provider makes meet in one of calls to one recipient each, which is how a provider takes them.
    Those that may leave the account have groups of their own, so that whoever moves them finds them without asking for each record.
    """
    handed_over = send.custody == "provider"  # by a call of its own, which disturbs nobody
    own = short_id if not send.coalesce or handed_over else send.on_unknown if send.on_unknown != "hold" else None
    movable = bool(send.failover) or home_of(short_id) is not None
    alone = kept(send) is not None
    return _named(send.message, send.sender_id, own, alone=alone, loud=send.ignore_quiet or handed_over, movable=movable)


def _named(message: str, sender_id: str | None, own: str | None, *, alone: bool, loud: bool, movable: bool) -> str:
    return f"{_shared(message, sender_id, own, int(alone))}{LOUD if loud else ''}{MOVABLE if movable else ''}"


def shares(body: Mapping[str, Any], short_id: str, group: str) -> bool:
    """Whether the send of this body may share calls, which is not in the body: its group tells."""
    handed_over = "custody" in body
    own = short_id if handed_over else body.get("on_unknown")
    loud = body.get("ignore_quiet", False) or handed_over
    alone = TEMPLATE in body
    return group.removesuffix(MOVABLE) == _named(body["message"], body.get("sender_id"), own, alone=alone, loud=loud, movable=False)


@lru_cache(maxsize=256)  # a campaign has one text
def _shared(message: str, sender_id: str | None, own: str | None, most: int) -> str:
    return f"send.{segment(message).segments}.{most}.{digest(message, sender_id, own)}"


def segments_of(group: str) -> int:
    """How many segments the text of this group's sends has."""
    return int(group.split(".")[1])


def most_of(group: str, batch_max: int) -> int:
    """How many recipients of this group one call carries, where the provider's may carry `batch_max`."""
    return int(group.split(".")[2]) or batch_max


def is_loud(group: str) -> bool:
    """Whether the sends of this group go in quiet hours too."""
    return LOUD in group


def narrowed(group: str, most: int) -> str:
    """The same group with calls of at most `most` recipients."""
    actor, segments, _, digest = group.split(".", 3)
    return f"{actor}.{segments}.{most}.{digest}"
