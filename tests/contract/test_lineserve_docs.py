"""The page about Lineserve says what the code does, row by row and both ways."""

from __future__ import annotations

from tests.contract.doc_tables import NONE, column, rules, shared_tables, tables

from tuma_worker.providers.lineserve import PROVIDER
from tuma_worker.providers.lineserve.receipts import EVENTS
from tuma_worker.providers.lineserve.statuses import CODES, QUOTAS

PAGE = tables("lineserve")


def test_the_error_codes_are_those_of_the_code() -> None:
    documented = column(PAGE["Error codes"], "Code", "Answer", "Waits (s)")
    assert documented == {code: (answer, waits) for code, (answer, _, _, waits, _) in rules(CODES).items()}
    assert not [code for code, rule in CODES.items() if rule.retryable or rule.final or rule.alarm]


def test_statuses_and_failures_are_those_of_the_code() -> None:
    documented, coded = shared_tables("lineserve")
    assert documented == coded


def test_the_webhook_events_are_those_of_the_code() -> None:
    assert column(PAGE["Webhook events"], "Event", "State", "Says so") == dict(EVENTS)


def test_the_limits_are_those_of_the_code() -> None:
    rows = [row for row in PAGE["Limits"] if "Header" not in row]
    assert column(rows, "Limit", "Value", "Counts") == {
        limit.name: (f"{limit.count:.0f}", limit.counted) for limit in PROVIDER.defaults.limits
    }


def test_the_headers_are_those_of_the_code() -> None:
    documented = column(PAGE["Limits"], "Header", "Limit", "Resets")
    assert documented == {remaining: (limit, reset or NONE) for remaining, reset, limit in QUOTAS}
