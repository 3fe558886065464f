"""How a text becomes SMS segments.

The alphabet is GSM 03.38 as 3GPP TS 23.038 defines it; whatever lies outside it makes the whole text UCS-2. Providers bill by
segment; what a provider says it counted is the truth, this is the estimate that limits and costs are planned with.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = "\f^{}\\[~]|€"  # an escape and a second septet each

_ALL_BASIC = re.compile(f"[{re.escape(_BASIC)}]*")
_ALL_GSM7 = re.compile(f"[{re.escape(_BASIC + _EXTENSION)}]*")
_ALL_ONE_UNIT = re.compile("[\u0000-\uffff]*")


class Encoding(StrEnum):
    """How a text is carried."""

    GSM7 = "gsm-7"
    UCS2 = "ucs-2"


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A text's encoding, its length in that encoding's units (septets or UTF-16 code units), and its number of segments."""

    encoding: Encoding
    units: int
    segments: int


# The most units of a single segment, and of each when there are several: a concatenation header takes the difference.
_SIZES = {Encoding.GSM7: (160, 153), Encoding.UCS2: (70, 67)}


def segment(text: str) -> Segmentation:
    """Count the segments of `text`. A character that needs two units is never split between two segments."""
    if _ALL_BASIC.fullmatch(text):
        return _even(Encoding.GSM7, len(text))
    if _ALL_GSM7.fullmatch(text):
        return _uneven(Encoding.GSM7, [2 if character in _EXTENSION else 1 for character in text])
    if _ALL_ONE_UNIT.fullmatch(text):
        return _even(Encoding.UCS2, len(text))
    return _uneven(Encoding.UCS2, [2 if character > "\uffff" else 1 for character in text])


def _even(encoding: Encoding, units: int) -> Segmentation:
    """For a text whose every character is one unit."""
    single, several = _SIZES[encoding]
    return Segmentation(encoding, units, 1 if units <= single else -(-units // several))


def _uneven(encoding: Encoding, widths: list[int]) -> Segmentation:
    """For a text whose characters are so many units each."""
    single, several = _SIZES[encoding]
    units = sum(widths)
    if units <= single:
        return Segmentation(encoding, units, 1)
    segments, room = 1, several
    for width in widths:
        if width > room:
            segments, room = segments + 1, several
        room -= width
    return Segmentation(encoding, units, segments)


# ------------------------------------------------------------------------------------- what makes a text UCS-2, and how it need not

_EQUALS = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u2039\u203a`\u00b4", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022", "-"),
    **dict.fromkeys("\t\u00a0\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))), " "),
    **dict.fromkeys("\u200b\u2060\ufeff\u00ad", ""),  # nobody sees them; a joiner, which shapes its neighbours, is not among them
    "\u2026": "...",
    "\u2044": "/",
    "\u2028": "\n",
    "\ufb00": "ff",
    "\ufb01": "fi",
    "\ufb02": "fl",
}
_ACCENTS = {"\u0153": "oe", "\u0152": "OE"}  # what has no form without its accent in Unicode's own tables


@dataclass(frozen=True, slots=True)
class Foreign:
    """A character that GSM 03.38 lacks, with its combining marks.

    `count` is how often it stands in the text, `first` where for the first time, counted in code points from 0, and `instead` what
    `substitute` would put in its place; None where nothing safe is known.
    """

    character: str
    count: int
    first: int
    instead: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One substitution: `was` stood at `at`, counted in code points of the first text from 0, and `becomes` stands for it."""

    at: int
    was: str
    becomes: str


@dataclass(frozen=True, slots=True)
class Substitution:
    """A text whose foreign characters were replaced so that it needs no UCS-2, or the same text where they all could not be."""

    text: str
    changes: tuple[Change, ...]
    before: Segmentation
    after: Segmentation

    @property
    def saved(self) -> int:
        """How many segments fewer it has."""
        return self.before.segments - self.after.segments

    def diff(self) -> list[str]:
        """What was changed, a line for each kind: `U+2019 -> "'" (2 times, first at 7)`."""
        times = Counter((change.was, change.becomes) for change in self.changes)
        first = {(change.was, change.becomes): change.at for change in reversed(self.changes)}
        return [
            f'{code_points(was)} -> "{becomes}" ({count} time{"" if count == 1 else "s"}, first at {first[was, becomes]})'
            for (was, becomes), count in times.items()
        ]


def code_points(character: str) -> str:
    """A character by its numbers, for where it could not be told from another: `U+2019`."""
    return " ".join(f"U+{ord(one):04X}" for one in character)


def foreign(text: str, *, accents: bool = False) -> tuple[Foreign, ...]:
    """The characters that make `text` UCS-2, each once, in the order of their first places; none where it is GSM 03.38."""
    found = [(at, character) for at, character in _characters(text) if not _ALL_GSM7.fullmatch(character)]
    counts = Counter(character for _, character in found)
    first = {character: at for at, character in reversed(found)}
    return tuple(Foreign(one, count, first[one], _instead(one, accents=accents)) for one, count in counts.items())


def substitute(text: str, *, accents: bool = False) -> Substitution:
    """Put what looks and reads the same in the place of characters that GSM 03.38 lacks: quotes, dashes, spaces, an ellipsis.

    With `accents` letters lose those accents that the alphabet lacks as well (`ê` becomes `e`, `é` stays): that can be
    read, but is another spelling. Nothing is changed where a character is left for which nothing stands, since the text would be
    UCS-2 all the same.
    """
    before = segment(text)
    pairs = [(at, one, one if _ALL_GSM7.fullmatch(one) else _instead(one, accents=accents)) for at, one in _characters(text)]
    kept = [(at, was, becomes) for at, was, becomes in pairs if becomes is not None]
    if len(kept) < len(pairs):
        return Substitution(text, (), before, before)
    changes = tuple(Change(at, was, becomes) for at, was, becomes in kept if was != becomes)
    plain = "".join(becomes for _, _, becomes in kept)
    return Substitution(plain, changes, before, segment(plain))


def _characters(text: str) -> Iterator[tuple[int, str]]:
    """Each character with its place; combining marks belong to the one before them."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not unicodedata.combining(text[end]):
            yield start, text[start:end]
            start = end


def _instead(character: str, *, accents: bool) -> str | None:
    composed = unicodedata.normalize("NFC", character)
    found = _EQUALS.get(composed, composed)
    if not _ALL_GSM7.fullmatch(found) and accents:
        found = _ACCENTS.get(composed) or "".join(
            one for one in unicodedata.normalize("NFD", composed) if not unicodedata.combining(one)
        )
    return found if _ALL_GSM7.fullmatch(found) else None
