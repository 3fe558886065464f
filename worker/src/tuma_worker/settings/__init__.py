"""What operators set, read once: environment over TOML file over defaults.

`TUMA_CONFIG_FILE` names the TOML file; its keys are the field names of `Settings`. Accounts come from its `[accounts.NAME]` tables,
from `TUMA_ACCOUNTS` (a JSON object: name to account), and from `TUMA_ACCOUNTS__<NAME>__<FIELD>`, field by field, each over the one
before. In a variable the name is in upper case with `_` for `-`: `TUMA_ACCOUNTS__LISOLOO_MAIN__API_KEY` sets `api_key` of
`lisoloo-main`. Routes come from `[routes.NAME]` tables and from `TUMA_ROUTES` (a JSON object: name to lists of accounts by prefix),
prefix by prefix. Wherever a secret may stand, its name with `_file` (`_FILE`) names a file that holds it instead.
"""

from __future__ import annotations

from pydantic import ValidationError

from tuma_worker.settings.model import Account, Settings, masked
from tuma_worker.settings.problems import misnamed, told
from tuma_worker.settings.sources import SettingsError, our_variables

__all__ = ["Account", "Settings", "SettingsError", "load_settings", "masked"]


def load_settings() -> Settings:
    """Read the settings from the environment and from the file that it names.

    Raises `SettingsError`, which tells every problem and no secret.
    """
    environ = our_variables()
    if problems := [*misnamed(environ)]:
        raise SettingsError("\n".join(problems))
    try:
        return Settings()
    except ValidationError as error:
        # `from None`: what pydantic says of itself would show the values.
        raise SettingsError("\n".join(told(problem, environ) for problem in error.errors(include_url=False))) from None
