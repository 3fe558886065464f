"""Which texts ask for no more messages, in the languages of those who write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_worker.core.stopping import WORDS, stop_word


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("STOP", "STOP"),
        ("stop", "STOP"),
        (" Stop.\n", "STOP"),
        ("« arret »", "ARRÊT"),
        ("arre\u0302t !", "ARRÊT"),
        ("desabonner", "DÉSABONNER"),
        ("Acha!", "ACHA"),
        ("\uff53\uff54\uff4f\uff50", "STOP"),  # full width
        ("stop all", None),
        ("please do not stop", None),
        ("stopped", None),
        ("", None),
        ("...", None),
    ],
)
def test_a_text_that_is_such_a_word_and_nothing_else_asks_for_no_more(text: str, word: str | None) -> None:
    assert stop_word(text, WORDS) == word


def test_the_words_are_whoever_configures_thems_and_may_be_several() -> None:
    assert stop_word("stop  SMS", ["Stop sms"]) == "Stop sms"
    assert stop_word("STOP", ["BASTA"]) is None
    assert stop_word("!", ["?"]) is None  # a word without a letter is none


@given(st.text())
def test_any_text_is_looked_at_without_stumbling(text: str) -> None:
    assert stop_word(text, WORDS) in {*WORDS, None}
