"""Quiet hours as the claim script reads them: which numbers may be called, from when until when that is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tuma_producer.contract.times import moment
from tuma_producer.contract.wire import LANES
from tuma_producer.countries import CODES

if TYPE_CHECKING:
    from tuma_producer.quiet import Quiet

_LONGEST = timedelta(days=1)  # that one table is used
_OTHERS = "*"  # stands for numbers whose country nobody knows


@dataclass(slots=True)
class HoursTable:
    """The table of one queue, made anew by the server's clock whenever the script says that it is stale."""

    quiet: Quiet
    text: str = field(default="0 0  defer")

    def renew(self, now: int) -> None:
        """Make the table that is right at this time, in Unix milliseconds. Any thread may; the last one stays."""
        at = moment(now)
        codes: dict[str, str | None] = {_OTHERS: None, **{f"+{code}": code for code in CODES}}
        until = {name: self.quiet.until_for(code, at) for name, code in codes.items()}
        changes = [until[name] or self.quiet.begins_for(code, at) for name, code in codes.items()]
        to = min((change for change in changes if change is not None), default=at + _LONGEST)
        lanes = "".join(str(lane) for lane, name in enumerate(LANES) if name in self.quiet.priorities)
        table = "".join(f"|{name}={_milliseconds(end)}" for name, end in until.items())
        self.text = f"{now} {_milliseconds(min(to, at + _LONGEST))} {lanes} {self.quiet.action} {table}|"


def _milliseconds(at: datetime | None) -> int:
    return 0 if at is None else round(at.timestamp() * 1000)
