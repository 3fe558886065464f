"""Secrets in the settings: they may stand in files, and are never shown."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING

import pytest
from tests.unit.conftest import KEY, MAIN, problems

from tuma_worker.settings import Settings, SettingsError, load_settings, masked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# ---------------------------------------------------------------------------------------------------------- secrets from files


def test_a_secret_is_read_from_the_file_that_a_variable_names(given: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n", encoding="utf-8")
    (tmp_path / "hook").write_text("hook-pass", encoding="utf-8")
    (tmp_path / "redis").write_text("redis://:pw@cache:6379/1\n", encoding="utf-8")
    given(
        TUMA_REDIS_URL_FILE=str(tmp_path / "redis"),
        **{
            MAIN + "PROVIDER": "lisoloo",
            MAIN + "API_KEY_FILE": str(tmp_path / "key"),
            MAIN + "WEBHOOK_USERNAME": "tuma",
            MAIN + "WEBHOOK_PASSWORD_FILE": str(tmp_path / "hook"),
        },
    )
    settings = load_settings()
    made = settings.accounts["lisoloo-main"]
    assert made.api_key.get_secret_value() == KEY
    assert made.webhook_password is not None
    assert made.webhook_password.get_secret_value() == "hook-pass"
    assert settings.redis_url == "redis://:pw@cache:6379/1"


def test_a_secret_file_takes_the_precedence_of_the_place_that_names_it(
    given: Callable[..., None],
    config: Callable[[str], str],
    tmp_path: Path,
) -> None:
    (tmp_path / "key").write_text("from-secret-file", encoding="utf-8")
    table = 'provider = "lisoloo"\n'
    config(
        f'[accounts.a]\n{table}api_key = "from-toml"\n[accounts.b]\n{table}api_key_file = "{tmp_path / "key"}"\n'
        f'[accounts.c]\n{table}api_key_file = "{tmp_path / "key"}"\n',
    )
    given(TUMA_ACCOUNTS__A__API_KEY_FILE=str(tmp_path / "key"), TUMA_ACCOUNTS__B__API_KEY="from-variable")
    keys = {name: made.api_key.get_secret_value() for name, made in load_settings().accounts.items()}
    assert keys == {"a": "from-secret-file", "b": "from-variable", "c": "from-secret-file"}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (None, "(No such file or directory); correct the path or the file's permissions"),
        (b" \n", "is empty; write the secret there"),
        (b"\xff\xfe", "(not UTF-8 text)"),
    ],
)
def test_a_secret_file_that_gives_no_secret_is_refused(
    given: Callable[..., None],
    tmp_path: Path,
    content: bytes | None,
    rule: str,
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY_FILE": str(tmp_path / "key")})
    (line,) = problems()
    assert line.startswith(MAIN + "API_KEY_FILE: ")
    assert rule in line


def test_a_secret_given_directly_and_as_a_file_in_one_place_is_refused(given: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY, encoding="utf-8")
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "API_KEY_FILE": str(tmp_path / "key")})
    assert problems() == [MAIN + "API_KEY: is given twice, directly and as a file; remove one of the two"]


# --------------------------------------------------------------------------------------------------------- secrets stay secret


def test_no_problem_shows_a_secret_not_even_in_its_traceback(given: Callable[..., None]) -> None:
    given(
        TUMA_REDIS_URL="http://:hidden-pw@cache",
        TUMA_ACCOUNTS=json.dumps({"b": {"api_key": ["hidden-key"], "webhook_secret": "hidden-hook", "webhook_password": 7}}),
        **{MAIN + "API_KEY": "hidden-key", MAIN + "TIMEOUT": "hidden-key", MAIN + "BASE_URL": "https://hidden:key@x"},
    )
    with pytest.raises(SettingsError) as raised:
        load_settings()
    shown = "".join(traceback.format_exception(raised.value))
    assert "TUMA_REDIS_URL: must begin with redis://" in shown
    assert "hidden" not in shown


def test_masked_settings_are_sorted_plain_and_show_of_a_secret_only_its_length(given: Callable[..., None]) -> None:
    given(
        TUMA_REDIS_URL="rediss://user:p@ss@cache:6379/0?password=p@ss2",
        **{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "LIMITS": "60/min"},
    )
    shown = masked(load_settings())
    assert list(shown) == sorted(shown)
    assert shown["accounts"]["lisoloo-main"]["api_key"] == "•••• (32 chars)"
    assert shown["accounts"]["lisoloo-main"]["limits"] == ["60/min"]
    assert shown["redis_url"].startswith("rediss://••••@")
    assert "p@ss" not in json.dumps(shown)
    assert KEY not in json.dumps(shown)


def test_masked_shows_an_address_without_password_as_it_is() -> None:
    assert masked(Settings())["redis_url"] == "redis://127.0.0.1:6379/0"


def test_no_repr_shows_a_secret(given: Callable[..., None]) -> None:
    given(TUMA_REDIS_URL="redis://:hidden-pw@cache", **{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": "hidden-key"})
    assert "hidden" not in repr(load_settings())
