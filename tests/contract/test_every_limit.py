"""Every limit of a provider: its stand-in keeps it as documented, and the client knows the call after the last for what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.conftest import LINESERVE_KEY, LISOLOO_KEY

from tuma_producer.contract.custody import CONTROL, STATUS
from tuma_worker.core.answers import TryLater
from tuma_worker.core.limits import Counted
from tuma_worker.providers import PROVIDERS
from tuma_worker.providers.base import BALANCE
from tuma_worker.providers.http import Http
from tuma_worker.providers.operations import Refusal, Request
from tuma_worker.settings import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.conftest import Sandbox

    from tuma_worker.core.limits import Limit

PLACES: dict[str, dict[str, Any]] = {
    "lisoloo": {"base_url": "/lisoloo", "api_key": LISOLOO_KEY, "environment": "sandbox"},
    "lineserve": {"base_url": "/lineserve/v1", "api_key": LINESERVE_KEY},  # in test mode messages would not count
}
SEND = "send"
MANY = [f"+2547110{place:05}" for place in range(1000)]
CAMPAIGN = Request("POST", "/sms/bulk", SEND, body={"recipients": MANY, "message": "Karibu"})

# What counts in a bucket of ours, and the stand-in's bucket for it: an id that nobody knows counts as well.
CALLS = {
    ("lisoloo", SEND): (Request("POST", "/send", SEND, body={"to": MANY[:1], "message": "Karibu"}), "send"),
    ("lisoloo", BALANCE): (Request("GET", "/balance", BALANCE), "balance"),
    ("lisoloo", STATUS): (Request("GET", "/status/none", STATUS), "status"),
    ("lisoloo", CONTROL): (Request("DELETE", "/cancel/none", CONTROL), "cancel"),
    ("lineserve", SEND): (Request("GET", "/sms/campaigns", SEND), "requests"),
}


def documented() -> Iterator[tuple[str, str, Limit]]:
    """Provider, bucket and limit of all that the registry knows."""
    for name, provider in sorted(PROVIDERS.items()):
        found = provider.defaults
        kept = {} if found.keeping is None else {CONTROL: found.keeping.control, STATUS: found.keeping.status}
        for bucket, limits in {SEND: found.limits, **found.buckets, **kept}.items():
            yield from ((name, bucket, limit) for limit in limits)


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http() as http:
        yield http


@pytest.mark.parametrize(
    ("provider", "bucket", "limit"), [pytest.param(*one, id=f"{one[0]}-{one[1]}-{one[2].name}") for one in documented()]
)
def test_no_more_calls_than_documented_are_taken_and_the_next_one_waits(
    sandbox: Sandbox, http: Http, provider: str, bucket: str, limit: Limit
) -> None:
    request, theirs = CALLS[provider, bucket]
    weight = 1
    if limit.counted is Counted.MESSAGES:
        request, theirs, weight = CAMPAIGN, "sms", len(MANY)
    kept = keep_only(sandbox, provider, theirs, limit)
    place = PLACES[provider] | {"base_url": sandbox.url + PLACES[provider]["base_url"]}
    account = Account.model_validate({"provider": provider, "timeout": 20, **place})
    caller = PROVIDERS[provider].caller(account, http)
    said = [caller.call(request) for _ in range(kept // weight + 1)]
    limited = [isinstance(one, Refusal) and isinstance(one.answer, TryLater) for one in said]
    assert limited == [False] * (kept // weight) + [True]
    (*_, last) = said
    assert isinstance(last, Refusal)
    assert isinstance(last.answer, TryLater)
    assert (last.status, last.answer.scope) == (429, "account")


def keep_only(sandbox: Sandbox, provider: str, bucket: str, limit: Limit) -> int:
    """Have the stand-in keep this one of its limits. Returns how much it allows: where ours is assumed, it may be more."""
    settings: dict[str, Any] = sandbox.http.get("/_sandbox/config").json()[provider]
    (own,) = [one for one in settings["limits"][bucket] if one["seconds"] == limit.window]
    assert own["count"] >= limit.count if bucket == "cancel" else own["count"] == limit.count
    sandbox.config(**{provider: {"limits": {name: [own] * (name == bucket) for name in settings["limits"]}}})
    return int(own["count"])
