"""The providers that Tuma can send through. Adding one is a folder beside the others and a line here."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from tuma_worker.providers import lineserve, lisoloo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_worker.providers.provider import Provider

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "lineserve": lineserve.PROVIDER,
        "lisoloo": lisoloo.PROVIDER,
    },
)


def named(name: str) -> Provider:
    """The provider of that name. Raises `ValueError` naming those there are."""
    try:
        return PROVIDERS[name]
    except KeyError:
        message = f"unknown provider {name!r}: known are {', '.join(sorted(PROVIDERS))}"
        raise ValueError(message) from None
