"""Bad days to order: failures armed for the next sends, and the odd answers they need."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from tuma_worker.sandbox.life import Manner
from tuma_worker.sandbox.lineserve_rules import STATUS_BY_CODE
from tuma_worker.sandbox.lisoloo_errors import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.types import Receive, Scope, Send

RECEIPTS = ("normal", "none", "late", "duplicate", "reordered", "before_answer")

EARLY = frozenset({"reset_before_reading"})
REFUSALS = frozenset(
    {"reset_after_reading", "refuse", "refuse_500", "refuse_503", "rate_limit", "insufficient_balance", "suspended_key", "bad_key"}
)
ACCEPTED = {
    "accept_then_hang": "normal",
    "accept_then_500": "normal",
    "accept_then_reset": "normal",
    "html_200": "normal",
    "wrong_json": "normal",
    "wrong_counts": "normal",
    "slow_bytes": "normal",
    "no_receipts": "none",
    "late_receipts": "late",
    "duplicate_receipts": "duplicate",
    "reordered_receipts": "reordered",
    "receipts_before_answer": "before_answer",
    "lose_one": "normal",
}
"""What happens after the send was accepted -> how its receipts come, unless the fault's `receipts` says otherwise."""

KINDS = EARLY | REFUSALS | ACCEPTED.keys()
CODES = {"lisoloo": CATALOGUE.keys(), "lineserve": STATUS_BY_CODE.keys()}
"""With which codes a call can be refused."""

_COUNT_MAX = 1_000_000


class FaultError(ValueError):
    """A fault that cannot be armed; its text says why."""


@dataclass(slots=True)
class Fault:
    """One armed failure.

    It waits for the next `count` calls of `operation` at `provider` (empty: either), and, where `to` is given, for calls with
    one of these numbers (compared by digits). `seconds` is how long a hang, a trickle, a late receipt or the wait for early
    receipts lasts; `retry_after` is what an armed 429 says, and `code` the provider's code with which `refuse` answers.
    """

    id: int
    kind: str
    provider: str = ""
    operation: str = "send"
    to: list[str] = field(default_factory=list)
    count: int = 1
    seconds: float = 5
    retry_after: int = 5
    receipts: str = ""
    code: str = ""

    @property
    def manner(self) -> Manner:
        """How the receipts of the call come."""
        return Manner(self.receipts or ACCEPTED.get(self.kind, "normal"), self.seconds, self.kind == "lose_one")


class Faults:
    """The armed failures, in the order in which they were armed."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._ids = itertools.count(1)

    def arm(self, data: object) -> list[Fault]:
        """Arm one failure (an object) or several (a list). Raises FaultError, and then arms none."""
        wanted = [_checked(next(self._ids), item) for item in (data if isinstance(data, list) else [data])]
        self._armed.extend(wanted)
        return wanted

    def early(self, provider: str, operation: str) -> Fault | None:
        """The failure that strikes before the body is read; it is used up."""
        return self._spend(self._find(EARLY, provider, operation, ()))

    def refusal(self, provider: str, operation: str, numbers: Sequence[str]) -> Fault | None:
        """The failure that refuses the call; it is used up."""
        return self._spend(self._find(REFUSALS, provider, operation, numbers))

    def later(self, provider: str, operation: str, numbers: Sequence[str]) -> Fault | None:
        """The failure that strikes once the call is accepted; `spend` it then."""
        return self._find(frozenset(ACCEPTED), provider, operation, numbers)

    def spend(self, fault: Fault | None) -> None:
        """Use one count of the fault up."""
        self._spend(fault)

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()

    def as_json(self) -> list[dict[str, Any]]:
        """What is armed."""
        return [asdict(fault) for fault in self._armed]

    def _find(self, kinds: frozenset[str], provider: str, operation: str, numbers: Sequence[str]) -> Fault | None:
        return next(
            (
                fault
                for fault in self._armed
                if fault.kind in kinds
                and fault.provider in {"", provider}
                and fault.operation == operation
                and _matches(fault.to, numbers)
            ),
            None,
        )

    def _spend(self, fault: Fault | None) -> Fault | None:
        if fault is not None:
            fault.count -= 1
            if fault.count <= 0:
                self._armed.remove(fault)
        return fault


def digits(number: str) -> str:
    """The number without `+` and blanks."""
    return number.replace(" ", "").lstrip("+")


def _matches(wanted: Sequence[str], numbers: Sequence[str]) -> bool:
    return not wanted or not {digits(number) for number in wanted}.isdisjoint(digits(number) for number in numbers)


_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "provider": (str,),
    "operation": (str,),
    "to": (list,),
    "count": (int,),
    "seconds": (int, float),
    "retry_after": (int,),
    "receipts": (str,),
    "code": (str,),
}


def _checked(number: int, data: object) -> Fault:
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        msg = f"a fault is an object whose kind is one of {', '.join(sorted(KINDS))}"
        raise FaultError(msg)
    for name, value in data.items():
        if name not in _TYPES or isinstance(value, bool) or not isinstance(value, _TYPES[name]):
            msg = f"fault {data['kind']}: {name} is unknown or of the wrong type; known are {', '.join(_TYPES)}"
            raise FaultError(msg)
    fault = Fault(number, **data)
    _check_sense(fault)
    return fault


def _check_sense(fault: Fault) -> None:
    complaints = {
        "receipts is one of " + ", ".join(RECEIPTS): fault.receipts not in {"", *RECEIPTS},
        "receipts belongs to a send that is accepted": bool(fault.receipts) and fault.kind not in ACCEPTED,
        "numbers are not known before the body is read": bool(fault.to) and fault.kind in EARLY,
        "to is a list of texts": not all(isinstance(number, str) for number in fault.to),
        "code is one of the provider's, which is named": fault.kind == "refuse" and fault.code not in CODES.get(fault.provider, ()),
        "code belongs to refuse": bool(fault.code) and fault.kind != "refuse",
        "count is from 1 to a million": not 1 <= fault.count <= _COUNT_MAX,
    }
    for complaint, true in complaints.items():
        if true:
            msg = f"fault {fault.kind}: {complaint}"
            raise FaultError(msg)


class Cut(Response):
    """No answer: the connection is closed under the client's feet."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  nothing is sent
        """Abort the connection and wait until the server has seen it, so that it does not complain of a missing answer."""
        scope["app"].state.cut(tuple(scope["client"]))
        while (await receive())["type"] != "http.disconnect":
            continue


def garbled(fault: Fault, good: Response) -> Response:
    """The answer that the client gets instead of the good one."""
    if fault.kind == "accept_then_reset":
        return Cut()
    if fault.kind == "html_200":
        return HTMLResponse("<!doctype html><title>Proxy</title><h1>Please wait</h1>", 200)
    if fault.kind == "wrong_json":
        return JSONResponse({"result": ["surprise"], "ok": 1}, good.status_code)
    if fault.kind == "wrong_counts":
        return JSONResponse(_miscounted(json.loads(bytes(good.body))), good.status_code)
    if fault.kind == "slow_bytes":
        return StreamingResponse(_trickle(bytes(good.body), fault.seconds), good.status_code, media_type="application/json")
    return good


def _miscounted(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with one recipient too many in every total, wherever the provider says one."""
    return {
        name: _miscounted(value)
        if isinstance(value, dict)
        else value + (name in {"total_recipients", "total_messages"})
        if isinstance(value, int)
        else value
        for name, value in answer.items()
    }


async def _trickle(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    pieces = max(1, min(len(body), 50))
    size = -(-len(body) // pieces)
    for begin in range(0, len(body), size):
        await asyncio.sleep(seconds / pieces)
        yield body[begin : begin + size]
