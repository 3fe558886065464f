"""How a text is cut into SMS segments, checked against the standard's numbers and against a second, plainer way of counting."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuma_producer.text import Change, Encoding, Foreign, foreign, segment, substitute

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


# What operators and providers publish as "the length of an SMS": the most characters of so many parts. The same figures follow from
# 3GPP TS 23.040, 9.2.3.24.1 (a concatenation header of six octets) and stand in the tables of Twilio, Vonage and Infobip.
PUBLISHED = {
    GSM: [160, 306, 459, 612, 765, 918, 1071, 1224, 1377, 1530],
    UCS: [70, 134, 201, 268, 335, 402, 469, 536, 603, 670],
}


@pytest.mark.parametrize(("encoding", "letters"), [(GSM, "aé@Ñ"), (UCS, "ê你ሰ")])
def test_the_published_table_of_lengths(encoding: Encoding, letters: str) -> None:
    for letter in letters:
        for parts, most in enumerate(PUBLISHED[encoding], start=1):
            assert (segment(letter * most).encoding, segment(letter * most).segments) == (encoding, parts)
            assert segment(letter * (most + 1)).segments == parts + 1


@pytest.mark.parametrize(("encoding", "wide", "filler"), [(GSM, "€", "a"), (GSM, "[", "a"), (UCS, "😀", "ê"), (UCS, "👍", "a")])
def test_a_character_of_two_units_at_each_boundary_of_the_table_moves_on_whole(encoding: Encoding, wide: str, filler: str) -> None:
    single, several = (160, 153) if encoding is GSM else (70, 67)
    assert segment(filler * (single - 2) + wide).segments == 1
    assert segment(filler * (single - 1) + wide).segments == 2
    for part in range(1, 10):
        before = filler * (part * several - 1)  # one unit is left in this part
        assert segment(before + wide + filler * (several - 2)).segments == part + 1
        assert segment(before + wide + filler * (several - 1)).segments == part + 2


@pytest.mark.parametrize(
    ("text", "encoding", "bits", "segments"),
    [  # the examples that the calculator of message segments by Twilio is tested with, by their sizes in bits
        ("{" + "2" * 158, GSM, 1120, 1),
        ("{" + "2" * 159, GSM, 1127, 2),
        ("😜" + "2" * 68, UCS, 1120, 1),
        ("😜" + "2" * 69, UCS, 1136, 2),
    ],
)
def test_another_calculators_examples(text: str, encoding: Encoding, bits: int, segments: int) -> None:
    found = segment(text)
    assert (found.encoding, found.units * (7 if encoding is GSM else 16), found.segments) == (encoding, bits, segments)


def test_it_tells_which_characters_make_a_text_ucs2() -> None:
    assert foreign("Déjà [vu] à 5 €") == ()
    assert foreign("C\u2019est pr\u00eat, l\u2019\u00e9t\u00e9 \U0001f600") == (
        Foreign("\u2019", count=2, first=1, instead="'"),
        Foreign("\u00ea", count=1, first=8, instead=None),
        Foreign("\U0001f600", count=1, first=18, instead=None),
    )


def test_typography_is_replaced_and_told() -> None:
    found = substitute("\u00ab\u00a0C\u2019est\u00a0\u00bb \u2013 d\u2019accord\u2026")
    assert found.text == "\" C'est \" - d'accord..."
    assert (found.before.encoding, found.after.encoding) == (UCS, GSM)
    assert found.changes[2] == Change(3, "\u2019", "'")
    assert 'U+2019 -> "\'" (2 times, first at 3)' in found.diff()


def test_an_accent_that_was_written_apart_is_put_back_and_loses_nothing() -> None:
    assert substitute("e\u0301te\u0301").text == "été"


def test_letters_keep_their_accents_unless_that_is_asked_for() -> None:
    text = "La f\u00eate est pr\u00eate, ma s\u0153ur, fran\u00e7ais \u00e9t\u00e9"
    assert substitute(text).text == text
    assert substitute(text, accents=True).text == "La fete est prete, ma soeur, francais été"


def test_nothing_is_changed_where_the_text_would_be_ucs2_all_the_same() -> None:
    found = substitute("C\u2019est bon \U0001f600")
    assert (found.text, found.changes, found.saved) == ("C\u2019est bon \U0001f600", (), 0)


def test_one_quote_may_cost_as_many_segments_as_the_text_has() -> None:
    assert substitute("C\u2019" + "a" * 158).saved == 2


@given(st.text(max_size=200), st.booleans())
def test_what_was_substituted_is_gsm_or_the_same_text(text: str, accents: bool) -> None:  # noqa: FBT001 - drawn
    found = substitute(text, accents=accents)
    assert found.text == text or found.after.encoding is GSM
    assert (found.changes == ()) == (found.text == text)
    assert substitute(found.text, accents=accents).text == found.text
    if found.before.encoding is GSM:
        assert found.text == text
    rebuilt, at = "", 0
    for change in found.changes:
        rebuilt += text[at : change.at] + change.becomes
        at = change.at + len(change.was)
    assert rebuilt + text[at:] == found.text
