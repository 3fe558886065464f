"""How a text is cut into SMS segments, checked against the standard's numbers and against a second, plainer way of counting."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuma_producer.text import Encoding, segment

GSM, UCS = Encoding.GSM7, Encoding.UCS2

# 3GPP TS 23.038 in the order of its code table (6.2.1 and 6.2.1.1), without the escape itself.
ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", GSM, 0, 1),
        ("a" * 160, GSM, 160, 1),
        ("a" * 161, GSM, 161, 2),
        ("a" * 306, GSM, 306, 2),
        ("a" * 307, GSM, 307, 3),
        ("a" * 459, GSM, 459, 3),
        ("a" * 460, GSM, 460, 4),
        ("é" * 160, GSM, 160, 1),
        ("€" * 80, GSM, 160, 1),
        ("€" * 81, GSM, 162, 2),
        ("a" * 159 + "€", GSM, 161, 2),
        ("a" * 152 + "€" + "a" * 151, GSM, 305, 2),  # the escape would be the 153rd: both septets go to the second part
        ("a" * 152 + "€" + "a" * 152, GSM, 306, 3),  # and that costs a septet of the first
        ("a" * 151 + "€" + "a" * 153, GSM, 306, 2),
        ("ç", UCS, 1, 1),  # only its capital is in the alphabet
        ("ê" * 70, UCS, 70, 1),
        ("ê" * 71, UCS, 71, 2),
        ("ê" * 134, UCS, 134, 2),
        ("ê" * 135, UCS, 135, 3),
        ("a" * 69 + "ê", UCS, 70, 1),
        ("😀" * 35, UCS, 70, 1),
        ("a" * 69 + "😀", UCS, 71, 2),
        ("a" * 66 + "😀" + "a" * 65, UCS, 133, 2),  # the pair would be units 67 and 68
        ("a" * 66 + "😀" + "a" * 66, UCS, 134, 3),
        ("a" * 65 + "😀" + "a" * 67, UCS, 134, 2),
        ("`", UCS, 1, 1),  # the one printable ASCII character that phones lack
        ("\t", UCS, 1, 1),
        ("\u00a0", UCS, 1, 1),
        ("\x1b", UCS, 1, 1),  # the escape is no character
    ],
)
def test_the_numbers_of_the_standard(text: str, encoding: Encoding, units: int, segments: int) -> None:
    assert (segment(text).encoding, segment(text).units, segment(text).segments) == (encoding, units, segments)


def test_the_alphabet_has_127_characters_and_ten_more_by_escape() -> None:
    every = [chr(code) for code in range(0x10000)]
    assert {character for character in every if segment(character).encoding is GSM} == {*ALPHABET, *EXTENSION}
    assert {character for character in every if segment(character).units == 2} == set(EXTENSION)
    assert (len(ALPHABET), len(EXTENSION)) == (127, 10)


gsm_texts = st.text(st.sampled_from(ALPHABET + EXTENSION), max_size=700)
any_texts = st.one_of(gsm_texts, st.text(max_size=700), st.text(st.sampled_from("aé€ê😀"), max_size=700))


def parts(text: str) -> list[str]:
    """The text cut by hand: a character goes into the next part if it does not fit whole."""
    encoding = segment(text).encoding
    single, several = (160, 153) if encoding is GSM else (70, 67)
    if width(text, encoding) <= single:
        return [text]
    cut = [""]
    for character in text:
        if width(cut[-1] + character, encoding) > several:
            cut.append("")
        cut[-1] += character
    return cut


def width(text: str, encoding: Encoding) -> int:
    if encoding is UCS:
        return len(text.encode("utf-16-be")) // 2
    return len(text) + sum(text.count(character) for character in EXTENSION)


@given(any_texts)
@example("a" * 152 + "€" * 80)
@example("a" * 66 + "😀" * 40)
def test_cutting_by_hand_gives_as_many_parts_and_they_reassemble(text: str) -> None:
    cut = parts(text)
    assert "".join(cut) == text
    assert len(cut) == segment(text).segments
    assert sum(width(part, segment(text).encoding) for part in cut) == segment(text).units


@given(any_texts, st.text(max_size=20))
def test_a_longer_text_never_has_fewer_segments(text: str, more: str) -> None:
    assert segment(text + more).segments >= segment(text).segments


@given(any_texts)
def test_the_segments_are_enough_for_the_units_and_not_many_more(text: str) -> None:
    found = segment(text)
    several = 153 if found.encoding is GSM else 67
    assert found.segments == 1 or found.units <= found.segments * several
    assert found.segments <= 1 + -(-found.units // (several - 1))
