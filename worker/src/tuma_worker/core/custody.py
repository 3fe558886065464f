"""How an intent stands whose dates the provider keeps, and what follows from the provider's answers about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuma_producer.results import Verb


class Custody(StrEnum):
    """Who has the dates of such an intent in hand. The comment says who moves it on."""

    HANDING_OVER = "handing-over"  # the hand-over waits, or is under way: its answer, or evidence
    HANDED_OVER = "handed-over"  # the provider sends at each date; a verb, or the last receipt
    PAUSING = "pausing"  # the provider is asked to: its answer, read back
    PAUSED = "paused"  # the provider lets dates pass; a verb
    RESUMING = "resuming"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"  # nothing more goes out; what went out before may still be told of
    UNKNOWN = "unknown-at-provider"  # nobody could tell what became of a hand-over or a verb: evidence, or the next verb
    NOT_HANDED_OVER = "not-handed-over"  # refused, expired or withdrawn before the provider had it
    OVER = "over"  # every recipient has ended


TARGET: dict[Verb, Custody] = {"pause": Custody.PAUSED, "resume": Custody.HANDED_OVER, "cancel": Custody.CANCELLED}


class Told(StrEnum):
    """What the provider answered to a verb."""

    DONE = "done"
    REFUSED = "refused"  # not in the state that it is in; which that is, it does not say
    UNSUPPORTED = "unsupported"  # it has no such verb, or no such message
    UNKNOWN = "unknown"  # it may have been taken and no usable answer came
    LATER = "later"  # it was not taken: ask again


class Shown(StrEnum):
    """How the provider shows a message whose dates it keeps."""

    WAITING = "waiting"  # for a date, or at work; a provider need not have another word for what is paused
    PAUSED = "paused"
    CANCELLED = "cancelled"
    ENDED = "ended"
    GONE = "gone"  # it knows no such message
    UNTOLD = "untold"
    LATER = "later"  # it could not be asked now


class Result(StrEnum):
    """What became of a verb."""

    DONE = "done"
    TOO_LATE = "too-late"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    UNKNOWN = "unknown"
    WORKER_DIED = "worker-died"  # each time that one asked, or looked how it stands: nobody knows what came of it


@dataclass(frozen=True, slots=True)
class Steered:
    """The provider's answer to a verb, its code, and after how many seconds to ask again where that is to be done."""

    told: Told
    code: str = ""
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the provider shows, its code where it shows nothing, and after how many seconds to look again."""

    shown: Shown
    code: str = ""
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How the intent stands after a verb, and what became of that."""

    custody: Custody
    result: Result


_SHOWN_OF: dict[Verb, Shown] = {"pause": Shown.PAUSED, "resume": Shown.WAITING, "cancel": Shown.CANCELLED}
_NOBODY_KNOWS = Conclusion(Custody.UNKNOWN, Result.UNKNOWN)


def conclude(verb: Verb, told: Told, shown: Shown, *, stood: Custody, shows_pauses: bool) -> Conclusion:
    """What follows from the answer to a verb and what the provider shows after it.

    `stood` is how it stood before the verb. `shows_pauses` is whether the provider has shown this message as paused before: only
    then does `waiting` say that it is not.
    """
    if shown is Shown.CANCELLED:
        return Conclusion(Custody.CANCELLED, Result.DONE if verb == "cancel" else Result.REFUSED)
    if shown is _SHOWN_OF[verb] and (shown is not Shown.WAITING or shows_pauses):
        return Conclusion(TARGET[verb], Result.DONE)
    match told:
        case Told.DONE:
            return _NOBODY_KNOWS if shown is Shown.PAUSED else Conclusion(TARGET[verb], Result.DONE)  # it contradicts itself
        case Told.UNSUPPORTED if shown is not Shown.GONE:
            return Conclusion(stood, Result.UNSUPPORTED)
        case Told.REFUSED if shown is Shown.ENDED:
            return Conclusion(stood, Result.TOO_LATE)
        case _:
            return _NOBODY_KNOWS


def together(conclusions: list[Conclusion]) -> Conclusion:
    """One conclusion from those about each call that an intent was handed over in."""
    return conclusions[0] if len(set(conclusions)) == 1 else _NOBODY_KNOWS
