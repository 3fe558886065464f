"""What the demo shows while it runs, and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table

from tuma_worker.cli.output import table

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from tuma_worker.cli.demo.story import Story
    from tuma_worker.cli.demo.summary import Summary
    from tuma_worker.store.accounts import Standing

_STAGES = ("sending", "submitted", "sent", "delivered")


def scene(accounts: Sequence[Standing], story: Story, events: Counter[str], seconds: float) -> Group:
    """The state of things: the accounts' lines, and how far the recipients have come."""
    queues = table(
        ["account", "waiting", "in flight", "halted"],
        [[one.account, one.waiting + one.due_later, one.in_flight, one.halted] for one in accounts],
        title=f"{seconds:5.1f} s   {len(story.receipts)} intents, {len(story.otps)} of them one-time passwords",
    )
    return Group(queues, _road(sum(receipt.recipients for receipt in list(story.receipts)), events))


def _road(recipients: int, events: Counter[str]) -> Table:
    bars = Table.grid(padding=(0, 2))
    for stage in _STAGES:
        reached = events[f"tuma.recipient.{stage}"]
        bars.add_row(stage, ProgressBar(total=max(1, recipients), completed=reached, width=50), f"{reached}/{recipients}")
    return bars


def shown(summary: Summary) -> Table:
    """The summary for people."""
    use = ", ".join(f"{limit}: {share:.0%}" for limit, share in summary.limit_use.items())
    return table(
        ["what", "figure"],
        [
            ["intents", summary.intents],
            ["recipients, by our books", summary.recipients],
            ["recipients, by the sandbox's ledger", summary.ledger_recipients],
            ["calls", f"{summary.calls}, {summary.recipients_per_call} recipients each"],
            ["delivered, failed, unknown, expired", f"{summary.delivered}, {summary.failed}, {summary.unknown}, {summary.expired}"],
            ["lost, duplicates", f"{summary.lost}, {summary.duplicates}"],
            ["limit violations, 429s", f"{summary.limit_violations}, {summary.rate_limited_responses}"],
            ["fullest window of each limit", use],
            ["one-time passwords", f"{summary.otps}: p50 {summary.otp_p50_ms} ms, p99 {summary.otp_p99_ms} ms to the provider"],
            ["outcome events", summary.events],
            ["seconds", summary.seconds],
        ],
        title="What became of it",
    )
