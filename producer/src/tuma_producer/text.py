"""How a text becomes SMS segments.

The alphabet is GSM 03.38 as 3GPP TS 23.038 defines it; whatever lies outside it makes the whole text UCS-2. Providers bill by
segment; what a provider says it counted is the truth, this is the estimate that limits and costs are planned with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

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
