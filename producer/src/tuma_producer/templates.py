"""Texts with places for variables, `Your code is {{code}}`. Pure.

They are rendered before a send is written down: what renders to the same text is the same text, and shares a call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PLACE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places for the variables that `names` lists, each once."""

    text: str
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template. Raises `ValueError` with the rule, where two braces stand that are no place for a variable."""
        rest = _PLACE.sub("", text)
        if "{{" in rest or "}}" in rest:
            message = "has two braces that are no place for a variable, such as {{name}}: letters, digits and _, no digit first"
            raise ValueError(message)
        if not text.strip():
            message = "is empty"
            raise ValueError(message)
        return cls(text, tuple(dict.fromkeys(_PLACE.findall(text))))

    def render(self, variables: Mapping[str, str]) -> str:
        """The text with its variables. Raises `ValueError` for one that is missing and for one that it has no place for."""
        for problem, names in (
            ("must give {}", [name for name in self.names if name not in variables]),
            ("has {}, for which the template has no place", [name for name in variables if name not in self.names]),
        ):
            if names:
                raise ValueError(problem.format(_listed(names)))
        return _PLACE.sub(lambda place: variables[place[1]], self.text)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
