"""The pages of docs/reference, made of the code. `make reference` writes them; a test holds them against it."""

from __future__ import annotations

import inspect
import re
from decimal import Decimal
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import SecretStr
from tests.support.commands import COMMANDS
from tests.support.markdown import table

import tuma_producer
from tuma_worker.core.tokens import Scope
from tuma_worker.gateway.problems import Kind
from tuma_worker.settings.model import Account, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_MADE = "*Made of the code by `make reference`: change it there.*"


# ---------------------------------------------------------------------------------------------------------------- commands


def commands() -> Iterator[str]:
    """Every command of `tuma`, as its help has it."""
    yield "# Commands"
    yield _MADE
    yield (
        "Each has `--help`; exit status 0: done, 1: not as wished, 2: something has to be put right, said on stderr, "
        "130: ended by Ctrl-C, 141: nobody reads its output any more."
    )
    for command in COMMANDS:
        yield f"## `{command.name}`"
        yield command.text
        if command.parameters:
            yield table(["", ""], map(_parameter, command.parameters))
        yield "```console\n" + "\n".join(f"$ {example}" for example in command.examples) + "\n```"


def _parameter(one: Any) -> tuple[str, str]:  # noqa: ANN401 - Typer's parameters have no public class that all its releases share
    is_option = one.param_type_name == "option"
    name = ", ".join(one.opts) if is_option else one.metavar or one.name.upper()
    told = [one.help, *_default(one), *(["Must be given."] if one.required and is_option else [])]
    return f"`{name}`", _cell(" ".join(told))


def _default(one: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    if isinstance(one.show_default, str):
        yield f"Default: {one.show_default}."
    elif one.show_default and one.default not in {None, False} and not callable(one.default):
        yield f"Default: {one.default}."


# -------------------------------------------------------------------------------------------------------------------- HTTP


def http() -> Iterator[str]:
    """Every operation of the API, and every problem."""
    text = resources.files("tuma_worker.gateway").joinpath("openapi.yaml").read_text(encoding="utf-8")
    described: dict[str, Any] = yaml.safe_load(text)
    operations = [(method.upper(), path, told) for path, methods in described["paths"].items() for method, told in methods.items()]
    yield "# Operations of the HTTP API"
    yield _MADE
    yield (
        "Bodies and answers are in [the description](../../worker/src/tuma_worker/gateway/openapi.yaml), which a gateway serves at "
        "`/v1/openapi.yaml`. How to use them: [Tuma over HTTP](../http.md)."
    )
    for scope in Scope:
        rows = [
            (f"`{method} {path}`", _cell(told["summary"]), _parameters(told))
            for method, path, told in operations
            if told["security"] == [{"token": [scope]}]
        ]
        yield f"## With the scope `{scope}`"
        yield table(["operation", "what it does", "parameters"], rows)
    yield "## Problems"
    yield table(["status", "`type`", ""], ((str(kind.status), f"`urn:tuma:problem:{kind.kind}`", kind.title) for kind in Kind))


def _parameters(told: dict[str, Any]) -> str:
    return ", ".join(f"`{one['name']}`" for one in told.get("parameters", ()) if one.get("in") == "query")


# ---------------------------------------------------------------------------------------------------------------- settings


def settings() -> Iterator[str]:
    """Every setting of the service, and of an account."""
    yield "# Settings"
    yield _MADE
    yield (
        "From variables of the environment, or with the same names in lower letters and without `TUMA_` from the TOML file that "
        "`TUMA_CONFIG_FILE` names; a secret may come from a file of its own, by the name with `_FILE` behind it. "
        "`tuma config` shows what is set."
    )
    yield "## Of the service"
    yield _settings_of(Settings, "TUMA_")
    yield "## Of an account"
    yield (
        "`TUMA_ACCOUNTS__<NAME>__<SETTING>`, where the name's dashes are written as underscores: "
        "`TUMA_ACCOUNTS__LISOLOO_MAIN__API_KEY` is that of `lisoloo-main`. Or all of them as a JSON object in `TUMA_ACCOUNTS`."
    )
    yield inspect.cleandoc(Account.__doc__ or "")
    yield _settings_of(Account, "")


def _settings_of(model: type[BaseModel], prefix: str) -> str:
    rows = [(f"`{prefix}{name.upper()}`", _kind(field.annotation), _unset(field)) for name, field in model.model_fields.items()]
    return table(["setting", "kind", "default"], rows)


_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Decimal: "amount",
    SecretStr: "secret",
    Path: "path",
}


def _kind(annotation: Any) -> str:  # noqa: ANN401 - whatever a field may be declared as
    origin, inner = get_origin(annotation), [one for one in get_args(annotation) if one not in {type(None), Ellipsis}]
    if origin is Annotated:
        return _kind(inner[0])
    if origin in {Union, UnionType}:
        return " or ".join(dict.fromkeys(map(_kind, inner)))
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in {tuple, list}:
        return f"list of {_kind(inner[0])}"
    return "object" if origin is dict else _WORDS.get(annotation, "object")


def _unset(field: FieldInfo) -> str:
    if field.is_required():
        return "must be set"
    default = field.get_default(call_default_factory=True)  # none of ours needs the other fields
    return "" if default is None or default in ((), {}) else f"`{_cell(str(default))}`"


# ------------------------------------------------------------------------------------------------------------------ Python


def python() -> Iterator[str]:
    """What `tuma_producer` offers."""
    yield "# The package `tuma_producer`"
    yield _MADE
    for name in tuma_producer.__all__:
        found = getattr(tuma_producer, name)
        yield f"## `{name}`"
        if not inspect.isclass(found):
            yield f"`{found}`"
            continue
        yield _told(found)
        if fields := getattr(found, "model_fields", getattr(found, "__dataclass_fields__", None)):
            yield "Fields: " + ", ".join(f"`{one}`" for one in fields) + "."
        if name == "Producer":
            yield from _methods(found)


def _methods(found: type) -> Iterator[str]:
    for name, method in vars(found).items():
        if not name.startswith("_") and (function := getattr(method, "__func__", method)) and callable(function):
            yield f"### `{name}{_signature(function)}`"
            yield _told(function)


def _told(found: object) -> str:
    """What a docstring says, with its samples set apart."""
    paragraphs = (inspect.getdoc(found) or "").split("\n\n")
    return "\n\n".join(f"```pycon\n{one}\n```" if one.startswith(">>>") else one for one in paragraphs)


def _signature(function: Callable[..., Any]) -> str:
    return re.sub(r"\((?:self|cls)(?:, )?", "(", str(inspect.signature(function)).replace("'", ""), count=1)


# --------------------------------------------------------------------------------------------------------------- the pages

PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "commands.md": commands, "http.md": http, "settings.md": settings, "python.md": python,
}  # fmt: skip


def page(name: str) -> str:
    """A page as it must be."""
    return "\n\n".join(part.strip() for part in PAGES[name]()) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file in PAGES:
        (FOLDER / file).write_text(page(file), encoding="utf-8")
