"""How a text becomes SMS segments.

The alphabet is GSM 03.38 as 3GPP TS 23.038 defines it; whatever lies outside it makes the whole text UCS-2. Providers bill by segment;
what a provider says it counted is the truth, this is the estimate that limits and costs are planned with.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà",  # noqa: RUF001 - these are the alphabet's own characters
)
_EXTENSION = frozenset("\f^{}\\[~]|€")  # an escape and a second septet each


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
    if all(character in _BASIC or character in _EXTENSION for character in text):
        return _count(Encoding.GSM7, [2 if character in _EXTENSION else 1 for character in text])
    return _count(Encoding.UCS2, [2 if ord(character) > 0xFFFF else 1 for character in text])  # noqa: PLR2004 - the last code point of one UTF-16 unit


def _count(encoding: Encoding, widths: list[int]) -> Segmentation:
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
