"""What operators and callers write, whatever its bytes are: lists, settings and bodies are read, or the mistake is told."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.mutants import examples, mutants

from tuma_producer.errors import TumaError
from tuma_worker.cli import asking, rows
from tuma_worker.gateway.bodies import parsed
from tuma_worker.gateway.problems import Problem
from tuma_worker.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from pathlib import Path


# ----------------------------------------------------------------------------------------------------------------------- lists

SHEETS = (
    b'to,message,var:name\n+243990000001,Hello,Ada\n+243990000002,"Two\nlines, and a comma",Bob\n',
    b"\xef\xbb\xbfto;sender_id\r\n+243990000001;KITOKO\r\n",
    b"to\tpriority\n+243990000001\totp\n",
    b"to\n+243990000001\n\n\n",
)  # fmt: skip


def test_a_first_line_that_is_no_csv_is_told_what_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"to," + b"a" * 140_000)
    with pytest.raises(TumaError, match="the first line must name the columns"), rows.sheet(str(path)):
        pass


@examples(30)
@given(text=mutants(SHEETS))
def test_a_list_is_rows_bad_rows_or_one_clear_refusal(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text)
    for reading in (rows.sheet, rows.numbers_of):
        with suppress(TumaError), reading(str(path)) as listing:
            for row in listing.rows:
                assert row.line >= 1
                assert isinstance(row.cells, rows.BadRow) or set(row.cells) <= listing.columns


@pytest.mark.parametrize("first", [b'phone,"name\r', b"phone," + b"a" * 140_000], ids=["a lone quote", "a long one"])
def test_contacts_whose_first_line_is_no_csv_are_told_what_it_should_be(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "contacts.csv"
    path.write_bytes(first)
    with pytest.raises(ValueError, match="the first line must name the columns"):
        asking._contacts(str(path))


@examples(30)
@given(text=mutants([b"phone,name\n+243990000001,A\n", *SHEETS]))
def test_contacts_are_rows_or_one_clear_refusal(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "contacts.csv"
    path.write_bytes(text)
    with suppress(ValueError):
        assert all(one["phone"].startswith("+") for one in asking._contacts(str(path)))


# -------------------------------------------------------------------------------------------------------------------- settings

OBJECTS = (
    b'{"a": {"provider": "lisoloo", "api_key": "k", "limits": ["30/min"], "floors": {"otp": 0.1}, "batch_max": 5}}',
    b'{"a": {"provider": "lineserve", "api_key": "k", "quiet": {"hours": "22:00-06:00", "action": "wait"}, "reserve": "5 KES"}}',
    b"[accounts.a]\nprovider = 'lisoloo'\napi_key = 'k'\nlimits = ['30/min']\n[routes.r]\n'*' = ['a']\n",
    b'{"r": {"+243": ["a"], "*": ["b"]}}',
    b"30 calls/60s, 100/h",
    b"https://provider.example",
    b"22:00-06:00",
    b"7",
)
VARIABLES = (
    "TUMA_ACCOUNTS",
    "TUMA_ROUTES",
    "TUMA_ACCOUNTS__A",
    *(
        f"TUMA_ACCOUNTS__A__{field}"
        for field in ("PROVIDER", "API_KEY", "BASE_URL", "LIMITS", "FLOORS", "FLOORS__OTP", "QUIET", "QUIET__HOURS", "RESERVE",
                      "TIMEOUT", "COUNTRIES", "TIMEZONE", "")
    ),
    "TUMA_REDIS_URL",
    "TUMA_PUBLIC_URL",
    "TUMA_PUSH_NETWORKS",
    "TUMA_SWEEP_EVERY",
)  # fmt: skip
COUNTER = itertools.count()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}"], ids=["nested", "a number"])
def test_settings_that_no_reader_can_hold_are_refused_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for variable in ("TUMA_ACCOUNTS", "TUMA_ROUTES"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, text)
            with pytest.raises(SettingsError, match=rf"^{variable}: is not JSON that can be read"):
                load_settings()
    path = tmp_path / "tuma.toml"
    path.write_text(f"a = {text}", encoding="utf-8")
    monkeypatch.setenv("TUMA_CONFIG_FILE", str(path))
    with pytest.raises(SettingsError, match=r"tuma\.toml: is not TOML"):
        load_settings()


@examples(20)
@given(
    said=st.dictionaries(st.sampled_from(VARIABLES), mutants(OBJECTS), min_size=1, max_size=4), file=st.none() | mutants(OBJECTS)
)
def test_settings_are_taken_or_refused_with_the_place_of_the_mistake(
    tmp_path: Path, said: dict[str, bytes], file: bytes | None
) -> None:
    environ = {name: os.fsdecode(text.replace(b"\x00", b"")[:100_000]) for name, text in said.items()}
    if file is not None:
        path = tmp_path / f"{next(COUNTER)}.toml"
        path.write_bytes(file)
        environ["TUMA_CONFIG_FILE"] = str(path)
    with mock.patch.dict(os.environ, environ):
        try:
            told = repr(load_settings())
        except SettingsError as error:
            told = str(error)
    assert told


# ---------------------------------------------------------------------------------------------------------------------- bodies


@examples(30)
@given(text=mutants((b'{"account": "a", "to": ["+243990000001"], "message": "Hello", "expires_in": 30}', *OBJECTS)))
def test_a_body_is_an_object_or_a_problem_that_does_not_repeat_it(text: bytes) -> None:
    try:
        told = str(sorted(parsed(text)))
    except Problem as problem:
        told = str(problem)
    assert "243990000001" not in told.replace(repr("+243990000001"), "")  # a field may have such a name
