"""One intent, found by its id: why it stands where it stands, and what can be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from tuma_producer import UnknownIntent
from tuma_producer.contract.ids import split_id
from tuma_worker.core.explain import page
from tuma_worker.core.tokens import Scope
from tuma_worker.store.dead import DeadLetters

if TYPE_CHECKING:
    from tuma_producer import Intent
    from tuma_worker.gateway.dashboard.view import View

# What can be asked of an intent in this state; of what has ended, nothing.
VERBS = {"scheduled": ("pause", "cancel"), "active": ("pause", "cancel"), "paused": ("resume", "cancel")}
# How grave its state is.
GRAVITY = {"active": "good", "scheduled": "busy", "paused": "warn"}


async def look(view: View) -> dict[str, Any]:
    """The intent that is asked for; or that there is none of this id, as far as the viewer may know."""
    wanted = view.parameter("id").strip()
    nothing = {"wanted": wanted, "intent": None}
    if not wanted:
        return nothing
    try:
        told = await view.producer.explain(wanted)
    except UnknownIntent:
        return nothing
    if not view.rights.may_see(told.intent.source):
        return nothing
    return {
        "wanted": wanted,
        "intent": told.intent,
        "gravity": GRAVITY.get(told.intent.state, "calm"),
        "sections": [block.splitlines() for block in page(told).split("\n\n")],
        "verbs": VERBS.get(told.intent.state, ()) if view.rights.may_steer(told.intent.source) else (),
        "dead": await run_in_threadpool(_dead, view, told.intent) if Scope.OPERATE in view.rights.scopes else 0,
    }


def _dead(view: View, intent: Intent) -> int:
    """How many of its recipients are dead letters."""
    account, short_id = split_id(intent.id) or ("", "")
    return len(DeadLetters(view.desk.store, account).of_intent(short_id))
