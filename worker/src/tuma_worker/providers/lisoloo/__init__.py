"""Lisoloo: an SMS API with the `app-key` header, up to 1,000 recipients per call."""

from __future__ import annotations

from tuma_worker.core.answers import Fault
from tuma_worker.core.limits import Limit
from tuma_worker.providers.base import BALANCE, Defaults, Keeping
from tuma_worker.providers.lisoloo.client import LisolooClient
from tuma_worker.providers.lisoloo.operations import OPERATIONS, ask_balance
from tuma_worker.providers.lisoloo.polling import inquire
from tuma_worker.providers.lisoloo.receipts import LisolooReceipts
from tuma_worker.providers.lisoloo.settings import TIMEZONE, LisolooSettings
from tuma_worker.providers.provider import Provider

PROVIDER = Provider(
    name="lisoloo",
    defaults=Defaults(
        limits=(Limit.parse("60 calls/min"),),
        batch_max=1000,
        tells_within=900.0,  # documented (webhooks overview): three more tries within 12.5 minutes
        tells=frozenset(Fault),
        probe_bucket=BALANCE,
        holds_back=True,  # announced in the changelog
        buckets={BALANCE: (Limit.parse("30 calls/min"),)},
        keeping=Keeping(
            timezone=TIMEZONE,
            dates=20,
            dispatches=1000,
            control=(Limit.parse("30 calls/min"),),
            status=(Limit.parse("120 calls/min"),),
        ),
    ),
    client=lambda account, http: LisolooClient(LisolooSettings.of(account), http),
    receipts=lambda account: LisolooReceipts(LisolooSettings.of(account)),
    check=lambda account: LisolooSettings.of(account).check(),
    custodian=lambda account, http: LisolooClient(LisolooSettings.of(account), http),
    caller=lambda account, http: LisolooClient(LisolooSettings.of(account), http),
    operations=OPERATIONS,
    inquire=inquire,
    ask_balance=ask_balance,
    sends=("POST /send",),
)
