"""Which inbound texts ask for no more messages. Pure."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What people write who want no more: English (the words that US carriers oblige senders to heed), French, Swahili.
WORDS = (
    "STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT",
    "ARRÊT", "ARRÊTER", "ARRÊTEZ", "DÉSABONNER", "DÉSINSCRIRE",
    "ACHA", "SIMAMA", "SIMAMISHA", "SITISHA", "JIONDOE",
)  # fmt: skip


def stop_word(text: str, words: Iterable[str]) -> str | None:
    """The word that the text is, in any case, with or without accents and what stands around it; None where it is none of them.

    A text that only has the word in it says something else: `please do not stop`.
    """
    said = _plain(text)
    return next((word for word in words if said and _plain(word) == said), None)


def _plain(text: str) -> str:
    """Letters and digits alone, without accents and case, words one space apart."""
    letters = (one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    return " ".join("".join(one if one.isalnum() else " " for one in letters).split())
