"""The page about Lisoloo says what the code does, row by row and both ways."""

from __future__ import annotations

from tests.contract.doc_tables import NONE, column, rules, shared_tables, tables

from tuma_worker.providers.lisoloo import PROVIDER
from tuma_worker.providers.lisoloo.polling import WORDS
from tuma_worker.providers.lisoloo.receipts import EVENTS, FAILURE_WORDS
from tuma_worker.providers.lisoloo.statuses import CODES, HUNDREDS

PAGE = tables("lisoloo")


def test_the_error_codes_are_those_of_the_code() -> None:
    documented = column(PAGE["Error codes"], "Code", "Answer", "If retryable", "If not", "Waits (s)", "Alarm")
    assert documented == rules(CODES)


def test_the_codes_to_come_are_those_of_the_code() -> None:
    documented = column(PAGE["Codes not listed"], "Code", "Answer", "If retryable")
    assert documented == {f"{hundred}xx": row[:2] for hundred, row in rules(HUNDREDS).items()}
    assert all(rule.alarm for rule in HUNDREDS.values())


def test_statuses_and_failures_are_those_of_the_code() -> None:
    documented, coded = shared_tables("lisoloo")
    assert documented == coded


def test_the_webhook_events_are_those_of_the_code() -> None:
    assert column(PAGE["Webhook events"], "Event", "State", "Says so") == dict(EVENTS)


def test_the_reasons_are_those_of_the_code_in_their_order() -> None:
    documented = column(PAGE["Reasons of a failed message"], "Contains", "State")
    assert list(documented.items()) == [(word, (state,)) for word, state in FAILURE_WORDS.items()]


def test_the_words_of_a_status_are_those_of_the_code() -> None:
    assert column(PAGE["Asked because no receipt came"], "Word", "State", "Says so") == dict(WORDS)


def test_the_limits_are_those_of_the_code() -> None:
    documented = column(PAGE["Limits"], "Limit", "Value", "Counts")
    assert documented == {limit.name: (f"{limit.count:.0f}", limit.counted) for limit in PROVIDER.defaults.limits}


def test_no_row_has_an_empty_cell() -> None:
    assert not [row for rows in PAGE.values() for row in rows if not all(row.values())]
    assert NONE in PAGE["Error codes"][0].values()
