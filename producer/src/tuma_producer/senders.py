"""To whom a sender may be shown: networks approve sender IDs country by country. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def is_approved(approved: Mapping[str, Sequence[str]], sender: str | None, number: str) -> bool:
    """Whether the sender may be shown to the number, by the prefixes that each sender is approved for.

    Without a table all may; with one, a sender that it does not name may be shown to nobody. No sender is whatever the provider
    shows then.
    """
    return not approved or sender is None or number.startswith(tuple(approved.get(sender, ())))
