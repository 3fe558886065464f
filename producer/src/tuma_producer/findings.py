"""How a model's first finding becomes one of our errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_producer.errors import InvalidSend

if TYPE_CHECKING:
    from pydantic import ValidationError


# Where pydantic's own words say what is wrong but not what to do.
_RULES = {
    "missing": "must be given",
    "extra_forbidden": "is no field; correct its name or leave it out",
    "timezone_aware": "has no offset; write one, such as 2026-12-24T08:00+01:00",
}

_UNNAMED = "the name of a field"  # of one whose name is no text, so that nobody can say it


def first_finding(error: ValidationError) -> tuple[str, str]:
    """Field and rule of pydantic's first finding, without the input it was about.

    A check that looks at several fields raises `InvalidSend` itself, and so names the field.
    """
    finding = error.errors(include_url=False, include_input=False, include_context=True)[0]
    raised = finding.get("ctx", {}).get("error")
    if not finding["loc"] and isinstance(raised, InvalidSend):
        return raised.field, raised.rule
    rule = _RULES.get(finding["type"], finding["msg"].removeprefix("Value error, ").replace("Input should", "must", 1))
    return str(finding["loc"][0]) if finding["loc"] else _UNNAMED, rule
