"""What is as it should be, what is not, and that each cross says what mends it."""

from __future__ import annotations

import pytest

from tuma_worker.core import checkup
from tuma_worker.core.checkup import GATEWAY_SAYS, Finding, Mark

KEPT = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
URL = "https://sms.example/receipts/"

FINE = [
    checkup.server("r:1", "redis", "6.2.0"),
    checkup.server("r:1", "redis", "7.0.15"),
    checkup.server("r:1", "valkey", "9.0.1-rc1"),
    checkup.persistence("r:1", KEPT),
    checkup.persistence("r:1", KEPT | {"appendfsync": "always"}),
    checkup.eviction("r:1", KEPT),
    checkup.clock("r:1", 0.3, 0.001),
    checkup.clock("r:1", -1.5, 0.7),
    checkup.rights(47, []),
    checkup.attendance("a", in_flight=0, came=True, registered=12.0),
    checkup.attendance("a", in_flight=3, came=False, registered=None),
    checkup.way_in(URL, 405, GATEWAY_SAYS),
]
WRONG = [
    (checkup.server("r:1", "redis", "6.0.20"), "run Redis 6.2"),
    (checkup.persistence("r:1", KEPT | {"appendonly": "no"}), "appendonly yes"),
    (checkup.persistence("r:1", KEPT | {"appendfsync": "no"}), "appendfsync everysec"),
    (checkup.eviction("r:1", KEPT | {"maxmemory-policy": "allkeys-lru"}), "noeviction"),
    (checkup.clock("r:1", 1.2, 0.1), "NTP"),
    (checkup.clock("r:1", -3600.0, 0.1), "NTP"),
    (checkup.rights(47, ["XREADGROUP"]), "docs/redis.md"),
    (checkup.attendance("a", in_flight=0, came=False, registered=None), "tuma worker --account a"),
    (checkup.way_in(URL, None, "ConnectError"), "tuma gateway"),
    (checkup.way_in(URL, 404, ""), "TUMA_PUBLIC_URL"),
    (checkup.way_in(URL, 503, ""), "gateway"),
]


@pytest.mark.parametrize("finding", FINE, ids=lambda finding: finding.said)
def test_what_is_as_it_should_be_needs_no_mending(finding: Finding) -> None:
    assert (finding.mark, finding.mend) == (Mark.FINE, "")


@pytest.mark.parametrize(("finding", "mend"), WRONG, ids=[finding.said for finding, _ in WRONG])
def test_what_is_not_says_what_mends_it(finding: Finding, mend: str) -> None:
    assert finding.mark is Mark.WRONG
    assert mend in finding.mend


@pytest.mark.parametrize(
    "finding", [checkup.persistence("r:1", None), checkup.eviction("r:1", None), checkup.rights(47, None), checkup.no_way_in()]
)
def test_what_cannot_be_seen_is_neither_and_says_how_to_see_it(finding: Finding) -> None:
    assert finding.mark is Mark.UNSEEN
    assert finding.mend
