"""Lisoloo's sends for later, and those held back: their dispatches, each at its time, and what cancels, pauses and resumes them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from starlette.responses import JSONResponse, Response

from tuma_worker.sandbox.ledger import Dispatch
from tuma_worker.sandbox.life import Batch, Recipient
from tuma_worker.sandbox.lisoloo_errors import detail

if TYPE_CHECKING:
    from tuma_worker.sandbox.calls import Call
    from tuma_worker.sandbox.life import Life
    from tuma_worker.sandbox.settings import Lisoloo
    from tuma_worker.sandbox.world import World

Verb = Literal["cancel", "pause", "resume"]
State = Literal["scheduled", "paused", "cancelled"]
Word = State | Literal["pending"]

_FROM: dict[Verb, tuple[State, ...]] = {"cancel": ("scheduled", "paused"), "pause": ("scheduled",), "resume": ("paused",)}
_TO: dict[Verb, State] = {"cancel": "cancelled", "pause": "paused", "resume": "scheduled"}


@dataclass(slots=True, eq=False)
class Scheduled:
    """One accepted send for later, or an immediate one that is held back: what it sends, when, and how far it has come."""

    batch: Batch
    moments: list[float]
    state: State = "scheduled"
    sent: list[Batch] = field(default_factory=list)
    passed: int = 0

    @property
    def left(self) -> int:
        """How many of its moments are still to come."""
        return len(self.moments) - self.passed

    @property
    def immediate(self) -> bool:
        """Whether it has no date, and is only held back for a while."""
        return self.batch.scheduled_at is None

    @property
    def waiting(self) -> Word:
        """Its status while all of it is still to come."""
        return "pending" if self.immediate else "scheduled"

    @property
    def shown(self) -> Word:
        """Its state, by the provider's word."""
        return self.waiting if self.state == "scheduled" else self.state

    @property
    def word(self) -> Word | None:
        """Its status while something of it is still to come, or was withdrawn; None once its last dispatch speaks for it."""
        return self.shown if self.left or self.state == "cancelled" else None


class Schedules:
    """All sends for later of one stand-in."""

    def __init__(self, world: World, life: Life) -> None:
        self._world = world
        self._life = life
        self._known: dict[str, Scheduled] = {}

    @property
    def settings(self) -> Lisoloo:
        """The settings of this moment."""
        return self._world.settings.lisoloo

    def clear(self) -> None:
        """Forget all of them; what waited of them is dropped when its time comes."""
        self._known.clear()

    def get(self, message_id: str) -> Scheduled | None:
        """The send of this id, if it is one for later."""
        return self._known.get(message_id)

    def accept(self, batch: Batch, moments: list[float]) -> None:
        """Wait for its moments."""
        scheduled = self._known[batch.id] = Scheduled(batch, moments)
        for moment in moments:
            self._world.clock.at(moment, lambda moment=moment: self._due(scheduled, moment))  # type: ignore[misc] # its own moment

    def _due(self, scheduled: Scheduled, moment: float) -> None:
        if self._known.get(scheduled.batch.id) is not scheduled or scheduled.state == "cancelled":
            return
        scheduled.passed += 1
        if scheduled.state == "scheduled":
            self._dispatch(scheduled, moment)

    def _dispatch(self, scheduled: Scheduled, moment: float) -> None:
        first, world = scheduled.batch, self._world
        one = Batch(
            id=first.id,
            key=first.key,
            sender=first.sender,
            text=first.text,
            segments=first.segments,
            recipients=[Recipient(r.number, first.id, world.dice.fate(r.number, world.settings)) for r in first.recipients],
            created_at=time.time(),
            callback_url=first.callback_url,
            manner=first.manner,
        )
        scheduled.sent.append(one)
        world.ledger.dispatched(Dispatch(moment, one))
        self._life.run(one, world.settings, time.time())

    # The endpoints.

    def steer(self, call: Call, verb: Verb) -> Response:
        """Cancel, pause or resume one send as a whole."""
        settings = self.settings
        if settings.control != "there":
            missing = {"404": (404, "Not Found"), "405": (405, "Method Not Allowed")}[settings.control]
            return detail(*missing)
        scheduled = self._known.get(call.request.path_params["message_id"])
        if scheduled is None or scheduled.batch.key != call.label:
            return self._no_such(call)
        again = settings.repeat_succeeds and scheduled.state == _TO[verb]
        if not again and not _possible(scheduled, verb):
            return detail(settings.wrong_state_status, f"Not possible now: {verb}")
        scheduled.state = _TO[verb]
        self._world.ledger.steered(verb, scheduled.batch.id, call.arrived_at)
        if verb == "cancel" and settings.refund:
            self._refund(scheduled)
        data = {"message_id": scheduled.batch.id, "status": scheduled.shown}
        return JSONResponse({"status_code": settings.control_status, "success": True, "data": data}, settings.control_status)

    def _no_such(self, call: Call) -> Response:
        """An immediate send is known, and cannot be steered."""
        if self._world.ledger.knows(call.label, call.request.path_params["message_id"]):
            return detail(self.settings.wrong_state_status, "Not a scheduled message")
        return detail(404, "Message not found")

    def _refund(self, scheduled: Scheduled) -> None:
        batch = scheduled.batch
        self._world.purses["lisoloo"].refund(batch.key, batch.unit_cost * len(batch.recipients) * scheduled.left)


def _possible(scheduled: Scheduled, verb: Verb) -> bool:
    """Whether a verb finds something to do; what is only held back can be withdrawn, and nothing else."""
    return bool(scheduled.left) and scheduled.state in _FROM[verb] and (verb == "cancel" or not scheduled.immediate)
