"""What is wrong with settings, told to the person who set them: one line each, no secret in it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from tuma_worker.settings.model import Account, QuietHours, Settings
from tuma_worker.settings.sources import (
    ACCOUNTS,
    CONFIG_FILE,
    OBJECTS,
    PREFIX,
    REDIS_URL_FILE,
    ROUTES,
    from_file,
    from_special_variables,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

_ACCOUNT_VARIABLE = "TUMA_ACCOUNTS__<NAME>__<FIELD>"
_NOT_A_NAME = (
    "is not a name that can stand here; accounts, routes: a-z, 0-9 and '-', at most 32; lanes: otp, transactional, bulk; rename it"
)


def misnamed(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each variable that was surely meant for us and would have no effect."""
    known = [PREFIX + name.upper() for name in Settings.model_fields] + [REDIS_URL_FILE]
    for variable in sorted(environ):
        prefix, *path = variable.split("__")
        if prefix == ACCOUNTS and path:
            yield from _misnamed_account_variable(variable, path, environ)
        elif variable not in known and variable.startswith("TUMA_ACCOUNT"):
            yield f"{variable}: is not a setting; write {_ACCOUNT_VARIABLE}, with two underscores each time"
        elif prefix == ROUTES and path:
            yield f"{variable}: is not a setting; write all routes into {ROUTES}, a JSON object"
        elif variable not in known and (near := difflib.get_close_matches(variable, known, n=1, cutoff=0.9)):
            yield f"{variable}: is not a setting; did you mean {near[0]}?"


def _misnamed_account_variable(variable: str, path: list[str], environ: Mapping[str, str]) -> Iterator[str]:
    if len(path) == 1 or not all(path):
        yield f"{variable}: names no account and field; write {_ACCOUNT_VARIABLE}"
    if inner := [other for other in environ if other.startswith(f"{variable}__")]:
        yield f"{variable}: is given whole and in parts ({min(inner)}); remove one of the two"


def told(problem: ErrorDetails, environ: Mapping[str, str]) -> str:
    """Return pydantic's `problem` as one line: where the value was given, the rule, what to do."""
    path = [str(part) for part in problem["loc"] if isinstance(part, str)]
    index = "".join(f"[{part}]" for part in problem["loc"] if isinstance(part, int))
    if path[-1] == "[key]":
        return f"{_place(path[:-1], environ)}: {_NOT_A_NAME}"
    return f"{_place(path, environ)}{index}: {_rule(problem, path)}"


def _rule(problem: ErrorDetails, path: list[str]) -> str:
    match problem["type"]:
        case "missing":
            return "is missing; set it"
        case "extra_forbidden":
            fields = _fields(path)
            near = difflib.get_close_matches(path[-1], fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(fields))}"
            return f"is not a setting; {hint}"
        case "value_error":
            return problem["msg"].removeprefix("Value error, ")
        case _:
            return problem["msg"].replace("Input should", "must", 1) + "; correct it, or remove it for the default"


def _fields(path: list[str]) -> Mapping[str, object]:
    """What may stand where `path` ends."""
    match path:
        case [_]:
            return Settings.model_fields
        case [_, _, "quiet", _]:
            return QuietHours.model_fields
        case _:
            return Account.model_fields


def _place(path: list[str], environ: Mapping[str, str]) -> str:
    """Say where the value at `path` was given, or, if nowhere, which variable would give it."""
    variable = PREFIX + "__".join(path).upper().replace("-", "_")
    for given in (variable, f"{variable}_FILE"):
        if given in environ:
            return given
    if path[0] in OBJECTS and _holds(from_special_variables(environ), path):
        return f"{OBJECTS[path[0]]} ({'.'.join(path[1:])})"
    if _holds(from_file(environ), path):
        return f"{environ[CONFIG_FILE]} ({'.'.join(path)})"
    return variable


def _holds(values: Mapping[str, Any], path: list[str]) -> bool:
    table: Any = values
    for part in path[:-1]:
        table = table.get(part) if isinstance(table, dict) else None
    return isinstance(table, dict) and bool({path[-1], f"{path[-1]}_file"} & table.keys())
