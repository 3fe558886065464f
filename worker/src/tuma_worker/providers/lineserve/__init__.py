"""Lineserve: an SMS API with bearer keys, single sends, bulk sends that become campaigns, and books of all of them."""

from __future__ import annotations

from tuma_worker.core.limits import Limit
from tuma_worker.providers.base import Defaults
from tuma_worker.providers.lineserve.client import TELLS, LineserveClient
from tuma_worker.providers.lineserve.operations import OPERATIONS, add_opt_out, opted_out
from tuma_worker.providers.lineserve.polling import inquire
from tuma_worker.providers.lineserve.receipts import LineserveReceipts
from tuma_worker.providers.lineserve.settings import LineserveSettings
from tuma_worker.providers.lineserve.statuses import quotas
from tuma_worker.providers.provider import OptOuts, Provider

# The names that `Limit.parse` gives are those under which `statuses.quotas` reports what is left. The largest bulk call is not
# documented, so 100 is ours; whether the hourly messages are counted in segments is not either, so the stricter reading is taken.
PROVIDER = Provider(
    name="lineserve",
    defaults=Defaults(
        limits=(Limit.parse("100 calls/min"), Limit.parse("1000 calls/h"), Limit.parse("10000 messages/h")),
        batch_max=100,
        count_segments=True,
        keeps_books=True,
        tells=TELLS,
        probe_counts=True,
        fills_templates=True,
    ),
    client=lambda account, http: LineserveClient(LineserveSettings.of(account), http),
    receipts=lambda account: LineserveReceipts(LineserveSettings.of(account)),
    check=lambda account: LineserveSettings.of(account).check(),
    caller=lambda account, http: LineserveClient(LineserveSettings.of(account), http),
    operations=OPERATIONS,
    inquire=inquire,
    quotas=quotas,
    sends=("POST /sms/send", "POST /sms/bulk", "POST /sms/send-template"),
    opt_outs=OptOuts(read=opted_out, add=add_opt_out),
)
