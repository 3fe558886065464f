"""A mistake in the settings is one line, with the place where it was made, the rule and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.conftest import CORRECT, FORM, KEY, MAIN, problems

from tuma_producer.contract import address
from tuma_worker.core.limits import Limit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_each_problem_is_one_line_with_the_variable_the_rule_and_what_to_do(given: Callable[..., None]) -> None:
    given(
        TUMA_GATEWAY_PORT="http",
        TUMA_REDIS_URL="127.0.0.1:6379",
        TUMA_LOG_FORMAT="xml",
        **{MAIN + "LIMITS": "60 per minute", MAIN + "PROVIDER": "lisoloo", MAIN + "API_KYE": KEY},
    )
    with pytest.raises(ValueError, match="expected COUNT") as bad_limit:
        Limit.parse("60 per minute")
    assert problems() == [
        f"TUMA_REDIS_URL: {address.RULE}; correct it",
        f"{MAIN}API_KEY: is missing; set it",
        f"{MAIN}LIMITS: {bad_limit.value}",
        f"{MAIN}API_KYE: is not a setting; did you mean api_key?",
        f"TUMA_GATEWAY_PORT: must be a valid integer, unable to parse string as an integer; {CORRECT}",
        f"TUMA_LOG_FORMAT: must be 'auto', 'json' or 'console'; {CORRECT}",
    ]


def test_a_problem_names_the_place_where_the_value_was_given(given: Callable[..., None], config: Callable[[str], str]) -> None:
    path = config(f'gateway_port = 70000\n[accounts.a]\nprovider = "lisoloo"\napi_key = "{KEY}"\ntimeout = 0\n')
    given(TUMA_ACCOUNTS=json.dumps({"b": {"provider": "lisoloo", "api_key": KEY, "paced": ["otp", "slow"]}}))
    assert sorted(problems()) == [
        f"{path} (accounts.a.timeout): must be greater than 0; {CORRECT}",
        f"{path} (gateway_port): must be less than or equal to 65535; {CORRECT}",
        f"TUMA_ACCOUNTS (b.paced)[1]: must be 'otp', 'transactional' or 'bulk'; {CORRECT}",
    ]


@pytest.mark.parametrize(
    ("variable", "line"),
    [
        ("TUMA_REDIS_ULR", "TUMA_REDIS_ULR: is not a setting; did you mean TUMA_REDIS_URL?"),
        (
            "TUMA_ACCOUNTS_LISOLOO_MAIN_API_KEY",
            f"TUMA_ACCOUNTS_LISOLOO_MAIN_API_KEY: is not a setting; write {FORM}, with two underscores each time",
        ),
        ("TUMA_ROUTES__MAIN", "TUMA_ROUTES__MAIN: is not a setting; write all routes into TUMA_ROUTES, a JSON object"),
        ("TUMA_ACCOUNTS__MAIN", f"TUMA_ACCOUNTS__MAIN: names no account and field; write {FORM}"),
        ("TUMA_ACCOUNTS____API_KEY", f"TUMA_ACCOUNTS____API_KEY: names no account and field; write {FORM}"),
    ],
)
def test_a_variable_that_would_have_no_effect_is_refused(given: Callable[..., None], variable: str, line: str) -> None:
    given(**{variable: KEY})
    assert problems() == [line]


def test_floors_given_whole_and_in_parts_are_refused(given: Callable[..., None]) -> None:
    given(**{MAIN + "FLOORS": '{"otp": 0.1}', MAIN + "FLOORS__BULK": "0.1"})
    assert problems() == [f"{MAIN}FLOORS: is given whole and in parts ({MAIN}FLOORS__BULK); remove one of the two"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [("{", "TUMA_ACCOUNTS: is not JSON (line 1, column 2); correct it"), ("[]", "TUMA_ACCOUNTS: must be a JSON object")],
)
def test_accounts_that_are_not_a_json_object_are_refused(given: Callable[..., None], text: str, rule: str) -> None:
    given(TUMA_ACCOUNTS=text)
    (line,) = problems()
    assert line.startswith(rule)


@pytest.mark.parametrize("name", ["Lisoloo", "lisoloo_main", "-main", "a" * 33, ""])
def test_an_account_name_that_breaks_the_rule_is_refused(given: Callable[..., None], name: str) -> None:
    given(TUMA_ACCOUNTS=json.dumps({name: {"provider": "lisoloo", "api_key": KEY}}))
    (line,) = problems()
    assert line.startswith(f"TUMA_ACCOUNTS ({name}): is not a name that can stand here; accounts, routes: a-z, 0-9 and '-'")


def test_a_config_file_that_is_missing_is_refused(given: Callable[..., None], tmp_path: Path) -> None:
    path = str(tmp_path / "none.toml")
    given(TUMA_CONFIG_FILE=path)
    assert problems() == [
        f"TUMA_CONFIG_FILE: {path} cannot be read (No such file or directory); correct the path or the file's permissions",
    ]


def test_a_config_file_that_is_not_toml_is_told_with_the_place(config: Callable[[str], str]) -> None:
    path = config("gateway_port = \n")
    (line,) = problems()
    assert line.startswith(f"{path}: is not TOML (")
    assert "line 1" in line


def test_accounts_in_the_file_that_are_no_tables_are_refused(config: Callable[[str], str]) -> None:
    path = config("accounts = ['lisoloo-main']\n")
    assert problems() == [f"{path} (accounts): must be tables, one [accounts.NAME] for each account; correct it"]


def test_an_unknown_key_in_the_file_is_refused(config: Callable[[str], str]) -> None:
    path = config("[gateway]\nport = 1\n")
    (line,) = problems()
    assert line.startswith(f"{path} (gateway): is not a setting; ")
