"""What the demo sends: a campaign, a crowd of equal texts, some personal ones, and one-time passwords all the while."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuma_producer import Producer, Receipt, Send
from tuma_worker.cli.demo.stage import LINESERVE, LISOLOO

if TYPE_CHECKING:
    from collections.abc import Iterator

CROWD = 2500  # equal texts, one intent each
CAMPAIGN = 2500  # recipients of one intent
PERSONAL = 12  # texts of their own
OTP_EVERY = 0.25  # seconds


@dataclass
class Story:
    """The sends of one demo, told through one producer per thread. `receipts` and `otps` grow while it is told."""

    redis_url: str
    receipts: list[Receipt] = field(default_factory=list)
    otps: dict[str, float] = field(default_factory=dict)  # number to when it was asked for, in Unix seconds
    told: threading.Event = field(default_factory=threading.Event)

    def tell(self) -> None:
        """Enqueue everything but the one-time passwords."""
        marketing = Producer.from_url(self.redis_url, source="marketing")
        shop = Producer.from_url(self.redis_url, source="shop")
        campaign = Send(
            account=LINESERVE, to=[_number("25471", n) for n in range(CAMPAIGN)], message="Our shop opens on Saturday.",
            priority="bulk", campaign_name="opening",
        )  # fmt: skip
        self.receipts.append(marketing.enqueue(campaign))
        self.receipts.extend(marketing.enqueue_many(_crowd()))
        self.receipts.extend(shop.enqueue_many(_personal()))
        self.told.set()

    def keep_asking(self, stop: threading.Event) -> None:
        """Enqueue a one-time password again and again, until told to stop; first on the one account, then on the other."""
        login = Producer.from_url(self.redis_url, source="login")
        for n, account in enumerate(itertools.cycle([LISOLOO, LINESERVE])):
            number = _number("24397" if account == LISOLOO else "25472", n)
            self.otps[number] = time.time()
            self.receipts.append(login.enqueue(_password(account, number, n)))
            if stop.wait(OTP_EVERY):
                return


def _password(account: str, number: str, n: int) -> Send:
    return Send(account=account, to=number, message=f"Your code is {n:06d}.", priority="otp", expires_in=60)


def _crowd() -> Iterator[Send]:
    for n in range(CROWD):
        yield Send(account=LISOLOO, to=_number("24398", n), message="Your parcel has arrived.", priority="bulk")


def _personal() -> Iterator[Send]:
    for n in range(PERSONAL):
        account, prefix = (LISOLOO, "24399") if n % 2 else (LINESERVE, "25473")
        yield Send(account=account, to=_number(prefix, n), message=f"Order {n} is on its way to you.")


def _number(prefix: str, n: int) -> str:
    return f"+{prefix}{n:07d}"
