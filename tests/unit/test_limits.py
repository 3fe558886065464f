"""A limit as people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_worker.core.limits import Counted, Limit


@pytest.mark.parametrize(
    ("text", "counted", "count", "window"),
    [
        ("60/min", Counted.CALLS, 60, 60),
        ("10000 messages/h", Counted.MESSAGES, 10_000, 3600),
        ("16.7 calls/min", Counted.CALLS, 16.7, 60),
        ("5/10s", Counted.CALLS, 5, 10),
        (" 5 calls / 0.5 second ", Counted.CALLS, 5, 0.5),
        ("1/2h", Counted.CALLS, 1, 7200),
        ("3 messages/day", Counted.MESSAGES, 3, 86_400),
    ],
)
def test_a_limit_is_read_as_it_is_written(text: str, counted: Counted, count: float, window: float) -> None:
    limit = Limit.parse(text)
    assert (limit.counted, limit.count, limit.window) == (counted, count, window)


@pytest.mark.parametrize(
    "text", ["", "60", "60/", "/min", "60/week", "-1/min", "60 sms/min", "60/min/min", "1e3/min", "60/MIN", "٣/min"]
)
def test_what_is_no_limit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="for example '60/min' or '10000 messages/h'"):
        Limit.parse(text)


@pytest.mark.parametrize("text", ["0/min", "5/0s", "0.0 messages/h", "0.5/s"])
def test_a_limit_that_would_never_let_a_call_through_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"count must be at least 1 and window greater than 0; write 1/2s rather than 0\.5/s"):
        Limit.parse(text)


@pytest.mark.parametrize("text", ["60/400d", "60/99999999999999d", "9999999999999/min"])
def test_a_limit_that_nothing_could_reckon_with_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="count must be at most 1e\\+12 and window at most 366 days"):
        Limit.parse(text)


def test_a_limit_has_a_name_of_its_own_or_the_given_one() -> None:
    assert Limit.parse("60/min").name == "calls-60s"
    assert Limit.parse("60/min", name="send").name == "send"


# Figures of six digits, as people write them: that many a limit shows of itself.
counts = st.integers(1_000, 999_999).map(lambda thousandths: thousandths / 1000) | st.integers(1, 999_999).map(float)
windows = st.integers(1, 999_999).map(lambda thousandths: thousandths / 1000) | st.integers(1, 999_999).map(float)


@given(st.sampled_from(Counted), counts, windows)
def test_what_a_limit_says_of_itself_reads_back_as_the_same(counted: Counted, count: float, window: float) -> None:
    limit = Limit("send", counted, count, window)
    assert Limit.parse(str(limit), name="send") == limit


@given(st.text(max_size=30) | st.text("0123456789/ .smhdincalge", max_size=30))
def test_any_text_is_a_limit_above_zero_or_a_value_error(text: str) -> None:
    try:
        limit = Limit.parse(text)
    except ValueError:
        return
    assert limit.count >= 1
    assert limit.window > 0
