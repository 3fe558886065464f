"""Bad days by name: settings and armed faults that together make one, for whoever does not want to know the switches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOTH = ("lisoloo", "lineserve")


class UnknownScenario(ValueError):
    """A name that is none of them; its text says which there are."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What it is like, the settings that it changes, and the fault that it arms for the next `count` sends of either provider."""

    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    fault: Mapping[str, Any] | None = None


SCENARIOS: Mapping[str, Scenario] = {
    "accepted-then-timeout": Scenario(
        "the send is accepted, and its answer does not come for a minute", fault={"kind": "accept_then_hang", "seconds": 60}
    ),
    "error-after-accept": Scenario("the send is accepted and answered with a 500", fault={"kind": "accept_then_500"}),
    "late-receipts": Scenario("webhooks come a minute late", fault={"kind": "late_receipts", "seconds": 60}),
    "duplicate-receipts": Scenario("every webhook comes twice", fault={"kind": "duplicate_receipts"}),
    "reordered-receipts": Scenario("a recipient's webhooks come in reverse order", fault={"kind": "reordered_receipts"}),
    "no-receipts": Scenario("no webhook comes", fault={"kind": "no_receipts"}),
    "delivered-after-failed": Scenario(
        "everybody fails, and is delivered after all", {"outcomes": {"delivered": 0.0, "corrected": 1.0}}
    ),
    "one-lost-in-a-batch": Scenario("nothing is ever heard of a send's last recipient", fault={"kind": "lose_one"}),
    "slow-bytes": Scenario("the answer trickles in over ten seconds", fault={"kind": "slow_bytes", "seconds": 10}),
    "wrong-json": Scenario("the answer is JSON of another shape", fault={"kind": "wrong_json"}),
    "money-runs-out": Scenario("there is money for a few messages more", {name: {"balance": 1.0} for name in _BOTH}),
    "suspended-for-hammering": Scenario(
        "three early retries in a row suspend a Lisoloo key", {"lisoloo": {"suspicious_after": 3, "limits": {"send": [
            {"count": 1, "seconds": 60}
        ]}}}
    ),
}  # fmt: skip


def named(name: object) -> Scenario:
    """The scenario of that name. Raises `UnknownScenario`."""
    if not isinstance(name, str) or name not in SCENARIOS:
        msg = f"name: one of {', '.join(SCENARIOS)}"
        raise UnknownScenario(msg)
    return SCENARIOS[name]
