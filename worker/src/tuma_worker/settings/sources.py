"""The places that settings come from, each read into plain values; pydantic-settings lays one over the other."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from tuma_worker.settings.fields import SecretFile, json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

PREFIX = "TUMA_"
ACCOUNTS = "TUMA_ACCOUNTS"
ROUTES = "TUMA_ROUTES"
OBJECTS = {"accounts": ACCOUNTS, "routes": ROUTES}  # settings that are tables of tables, and the variables that hold them as JSON
CONFIG_FILE = "TUMA_CONFIG_FILE"
REDIS_URL_FILE = "TUMA_REDIS_URL_FILE"
_ACCOUNT_SECRETS = ("api_key", "webhook_password", "webhook_secret")


class SettingsError(Exception):
    """The settings cannot be used. The text has one line per problem: where it stands, which rule it breaks, what to do."""


class Layer(PydanticBaseSettingsSource):
    """Values from one place, already read."""

    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the field's value, its name, and that it needs no decoding."""
        del field
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return everything that this place gives, known or not."""
        return self._values


def our_variables() -> dict[str, str]:
    """Return the environment's variables that are ours and not empty, names in upper case."""
    return {name.upper(): text for name, text in os.environ.items() if name.upper().startswith(PREFIX) and text}


def from_account_variables(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the accounts that `TUMA_ACCOUNTS__<NAME>__<FIELD>` give, as far as they give them."""
    accounts: dict[str, Any] = {}
    for variable in sorted(environ):
        prefix, *path = variable.lower().split("__")
        if prefix.upper() != ACCOUNTS or not path:
            continue
        table = accounts.setdefault(path[0].replace("_", "-"), {})
        for part in path[1:-1]:
            table = table.setdefault(part, {})
        table[path[-1]] = environ[variable]
    return accounts


def from_special_variables(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what pydantic-settings does not read as we want it: the JSON objects, and the file of the Redis address."""
    values: dict[str, Any] = {name: _object(name, environ[variable]) for name, variable in OBJECTS.items() if variable in environ}
    if REDIS_URL_FILE in environ:
        values["redis_url_file"] = environ[REDIS_URL_FILE]
    return values


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        found = json_text(text)
    except ValueError as error:
        message = f"{OBJECTS[name]}: {error}"
        raise SettingsError(message) from None
    # Checked here, for what is no object would vanish when another place's is laid over it.
    if not isinstance(found, dict):
        message = f"{OBJECTS[name]}: must be a JSON object, from {_one_of(name)} names to {name}; correct it"
        raise SettingsError(message)
    return found


def _one_of(name: str) -> str:
    return name.removesuffix("s")


def from_file(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the TOML file says; nothing if none is named."""
    path = environ.get(CONFIG_FILE)
    if path is None:
        return {}
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{CONFIG_FILE}: {path} cannot be read ({error.strerror}); correct the path or the file's permissions"
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: is not TOML ({error}); correct it"
    except UnicodeDecodeError:
        message = f"{path}: is not UTF-8 text; save it as such"
    except (ValueError, RecursionError):
        message = f"{path}: is not TOML that can be read (nested too deeply, or a number too long); correct it"
    else:
        wrong = next((name for name in OBJECTS if not isinstance(values.get(name, {}), dict)), None)
        if wrong is None:
            return values
        message = f"{path} ({wrong}): must be tables, one [{wrong}.NAME] for each {_one_of(wrong)}; correct it"
    raise SettingsError(message)


def with_secret_files(layer: dict[str, Any]) -> dict[str, Any]:
    """Put a `SecretFile` in place of each `..._file`, so that it takes part in the precedence as the secret that it stands for."""
    layer = _secrets_in(layer, ("redis_url",))
    if isinstance(layer.get("accounts"), dict):
        layer["accounts"] = {
            name: _secrets_in(account, _ACCOUNT_SECRETS) if isinstance(account, dict) else account
            for name, account in layer["accounts"].items()
        }
    return layer


def _secrets_in(table: dict[str, Any], secrets: tuple[str, ...]) -> dict[str, Any]:
    files = {name: table[f"{name}_file"] for name in secrets if f"{name}_file" in table}
    rest = {key: value for key, value in table.items() if key.removesuffix("_file") not in files}
    return rest | {name: SecretFile(str(path), name in table) for name, path in files.items()}
