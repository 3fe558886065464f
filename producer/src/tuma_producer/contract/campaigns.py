"""Pausing, resuming and cancelling all intents of a campaign, in bounded steps that somebody else may go on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.control import control_many
from tuma_producer.contract.ids import full_id
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import ScriptCall, load
from tuma_producer.contract.scripts import token as new_token
from tuma_producer.contract.wire import campaign_keys
from tuma_producer.errors import UnknownAccount, UnknownCampaign
from tuma_producer.results import CampaignResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_producer.contract.steps import ActSteps
    from tuma_producer.results import CampaignOutcome, ControlResult, Verb

_HOLD = load("tuma_producer.contract", "hold_campaign")
_PAGE = load("tuma_producer.contract", "page_campaign")
_AT_ONCE = 100  # intents in one page

# What is said of a campaign where nothing else than these was said of its intents; the first that fits.
_NOT = {"too-late", "refused", "unsupported"}
_TOGETHER: dict[CampaignOutcome, set[str]] = {
    "done": {"done"},
    "requested": {"done", "requested"},
    "too-late": _NOT,
    "unknown": {*_NOT, "unknown"},
}

Progress = Callable[[int], None]  # told how many intents have been steered so far


def _untold(_intents: int) -> None:
    """Nobody wants to know how far it is."""


def control_campaign(account: str, name: str, verb: Verb, by: str, progress: Progress | None = None) -> ActSteps[CampaignResult]:
    """What to ask for this verb, in the name of `by`, step by step. Raises `UnknownAccount` and `UnknownCampaign`.

    First it is said how what arrives from now on is held, then each intent that has arrived is steered. A cancel holds what arrives
    meanwhile and goes over all of them again, until nothing has. Whoever dies over it leaves what arrives held, and each intent as
    it was or as it is to be; asking again goes on.
    """
    calls = _Calls(account, name)
    token = new_token()
    held = calls.held((yield [calls.hold(verb=verb, by=by, token=token)]))
    while True:
        result = yield from _steer(calls, verb, by, progress or _untold)
        if verb != "cancel":
            return result
        reply = yield [calls.hold(verb="cancelled", token=token, held=held)]
        if reply[0][0] != b"again":
            return result
        held = int(reply[0][1])


def _steer(calls: _Calls, verb: Verb, by: str, progress: Progress) -> ActSteps[CampaignResult]:
    """Go once over all intents of the campaign."""
    total, last = _Total(), ""
    while True:
        (page,) = yield [calls.page(last)]
        if not page:
            return total.result(calls.account, calls.name, verb)
        ids = [short_id.decode() for short_id in page]
        total.add((yield from control_many([full_id(calls.account, short_id) for short_id in ids], verb, by)))
        progress(total.intents)
        last = ids[-1]


@dataclass
class _Total:
    """What became of the intents so far."""

    intents: int = 0
    stopped: int = 0
    with_provider: int = 0
    ended: int = 0
    requested: int = 0
    outcomes: set[str] = field(default_factory=set)

    def add(self, results: Sequence[ControlResult]) -> None:
        for result in results:
            self.intents += 1
            self.stopped += len(result.stopped)
            self.with_provider += len(result.with_provider)
            self.ended += len(result.ended)
            self.requested += result.outcome == "requested"
            self.outcomes.add(result.outcome)

    def result(self, account: str, name: str, verb: Verb) -> CampaignResult:
        numbers = (self.intents, self.stopped, self.with_provider, self.ended, self.requested)
        return CampaignResult(account, name, verb, self._outcome, *numbers)

    @property
    def _outcome(self) -> CampaignOutcome:
        return next((outcome for outcome, those in _TOGETHER.items() if self.outcomes <= those), "partly")


class _Calls:
    """The calls of the scripts about one campaign."""

    def __init__(self, account: str, name: str) -> None:
        self.account, self.name = account, name
        campaigns, self._index = campaign_keys(account, name)
        self._keys = [account_keys(account).profile, campaigns, self._index]
        self._answer, self._audit = account_keys(account).answer, account_keys(account).audit

    def hold(self, **header: Any) -> ScriptCall:  # noqa: ANN401 - what the script says of it
        return ScriptCall(_HOLD, [*self._keys, self._answer(new_token()), self._audit], [self.name, json.dumps(header)])

    def held(self, replies: Sequence[Any]) -> int:
        """How many have arrived while it was held, as the script tells. Raises where there is no such account or campaign."""
        (reply,) = replies
        if reply[0] == b"unknown-account":
            raise UnknownAccount(self.account)
        if reply[0] == b"unknown-campaign":
            raise UnknownCampaign(self.account, self.name)
        return int(reply[1])

    def page(self, last: str) -> ScriptCall:
        return ScriptCall(_PAGE, [self._index], [last, _AT_ONCE])
