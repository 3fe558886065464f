"""The strict provider as a program beside the measurement."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import httpx
from tests.bench.support.audit import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.support.audit import Limit
    from tests.bench.support.processes import Programs


@dataclass(frozen=True, slots=True)
class StrictProvider:
    """Where it is, and what it has seen."""

    url: str

    def calls(self) -> list[Call]:
        """Every call so far."""
        answer: dict[str, list[list[Any]]] = httpx.get(f"{self.url}/calls", timeout=30, trust_env=False).json()
        return [Call(*fields) for fields in answer["calls"]]

    def any_call(self) -> bool:
        """Whether anything has arrived."""
        return bool(self.calls())


def start_provider(programs: Programs, limits: Sequence[Limit] = (), **network: float) -> StrictProvider:
    """Start one with these limits. `network`: `jitter_ms` at most each way, or `latency_ms` both ways together."""
    config = {"limits": [asdict(limit) for limit in limits], **network}
    program = programs.start("provider", [sys.executable, "-m", "tests.bench.support.strict", json.dumps(config)])
    port = program.until("listening on port").split()[-1]
    return StrictProvider(f"http://127.0.0.1:{port}")
