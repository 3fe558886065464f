"""Settings as tests give them, and what is said of the mistakes in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tuma_worker.settings import Account, SettingsError, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "sk_test_" + "k" * 24
MAIN = "TUMA_ACCOUNTS__LISOLOO_MAIN__"
FORM = "TUMA_ACCOUNTS__<NAME>__<FIELD>"
CORRECT = "correct it, or remove it for the default"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set these variables."""

    def set_variables(**variables: str) -> None:
        for name, text in variables.items():
            monkeypatch.setenv(name, text)

    return set_variables


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write the file of settings, and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "tuma.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("TUMA_CONFIG_FILE", str(path))
        return str(path)

    return write


def problems() -> list[str]:
    """What is said of settings that are refused, line by line."""
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return str(raised.value).splitlines()


def account(**fields: Any) -> Account:  # noqa: ANN401 - any field, also a wrong one
    """An account with what it must have, and these fields."""
    return Account.model_validate({"provider": "lisoloo", "api_key": KEY} | fields)
