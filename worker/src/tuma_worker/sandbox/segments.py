"""How many SMS a text takes: GSM 03.38 (160, 153 per part) or UCS-2 (70, 67 per part).

Lisoloo's page counts by 160-steps in its table and by 153 in its text, hence the two rules.
"""

from __future__ import annotations

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà",
)
_EXTENSION = frozenset("^{}\\[~]|€\f")
_GSM = (160, 153)
_UCS2 = (70, 67)


def count(text: str, rule: str = "gsm_concat") -> int:
    """The number of segments; `table160` bills full 160-steps for long GSM texts."""
    units, (single, part) = _measure(text)
    if rule == "table160" and single == _GSM[0]:
        part = single
    return 1 if units <= single else -(-units // part)


def _measure(text: str) -> tuple[int, tuple[int, int]]:
    if all(c in _BASIC or c in _EXTENSION for c in text):
        return sum(2 if c in _EXTENSION else 1 for c in text), _GSM
    return len(text.encode("utf-16-le")) // 2, _UCS2
