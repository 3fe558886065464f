"""Where settings come from: variables, files and defaults, and which of them wins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from tests.unit.conftest import KEY, MAIN, account

from tuma_worker.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable


def test_without_any_setting_the_defaults_hold() -> None:
    settings = load_settings()
    assert (settings.redis_url, settings.accounts) == ("redis://127.0.0.1:6379/0", {})
    assert (settings.gateway_host, settings.gateway_port, settings.public_url) == ("127.0.0.1", 8080, None)
    assert (settings.log_format, settings.log_level) == ("auto", "info")


def test_account_variables_make_an_account_whose_name_is_in_lower_case_with_hyphens(given: Callable[..., None]) -> None:
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "BATCH_MAX": "500"})
    accounts = load_settings().accounts
    assert list(accounts) == ["lisoloo-main"]
    assert (accounts["lisoloo-main"].provider, accounts["lisoloo-main"].batch_max) == ("lisoloo", 500)
    assert accounts["lisoloo-main"].api_key.get_secret_value() == KEY


@pytest.mark.parametrize("text", ["60/min, 10000 messages/h", '["60/min", "10000 messages/h"]'])
def test_a_list_in_a_variable_may_be_json_or_separated_by_commas(given: Callable[..., None], text: str) -> None:
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "LIMITS": text})
    assert load_settings().accounts["lisoloo-main"].limits == ("60/min", "10000 messages/h")


@pytest.mark.parametrize("text", ["10.0.0.0/8, fd00::/16", '["10.0.0.0/8", "fd00::/16"]'])
def test_networks_in_a_variable_may_be_json_or_separated_by_commas(given: Callable[..., None], text: str) -> None:
    given(TUMA_GATEWAY_PROXIES=text, TUMA_PUSH_NETWORKS=text)
    settings = load_settings()
    assert settings.gateway_proxies == settings.push_networks == ("10.0.0.0/8", "fd00::/16")


@pytest.mark.parametrize(("field", "text"), [("FLOORS", '{"otp": 0.2}'), ("FLOORS__OTP", "0.2")])
def test_floors_in_variables_may_be_json_or_one_lane_each(given: Callable[..., None], field: str, text: str) -> None:
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + field: text})
    assert load_settings().accounts["lisoloo-main"].floors == {"otp": 0.2}


def test_single_variables_win_over_the_json_object_which_wins_over_the_file_field_by_field(
    given: Callable[..., None],
    config: Callable[[str], str],
) -> None:
    config(
        f"""
        log_level = "error"
        gateway_port = 9000
        [accounts.lisoloo-main]
        provider = "lisoloo"
        api_key = "{KEY}"
        sender_id = "FILE"
        timeout = 1
        lease = 1
        """,
    )
    given(
        TUMA_GATEWAY_PORT="9001",
        TUMA_ACCOUNTS=json.dumps({"lisoloo-main": {"timeout": 2, "lease": 2}}),
        **{MAIN + "LEASE": "3"},
    )
    settings = load_settings()
    made = settings.accounts["lisoloo-main"]
    assert (settings.log_level, settings.gateway_port) == ("error", 9001)
    assert (made.sender_id, made.timeout, made.lease) == ("FILE", 2, 3)


def test_an_empty_variable_is_as_good_as_none(given: Callable[..., None]) -> None:
    given(TUMA_PUBLIC_URL="", TUMA_REDIS_URL="", TUMA_ACCOUNTS="", TUMA_CONFIG_FILE="", **{MAIN + "SENDER_ID": ""})
    assert load_settings() == Settings()


def test_variables_that_an_orchestrator_adds_do_no_harm(given: Callable[..., None]) -> None:
    given(TUMA_GATEWAY_SERVICE_HOST="10.0.0.7", TUMA_GATEWAY_PORT_8080_TCP="tcp://10.0.0.7:8080", TUMA_REDIS_SERVICE_PORT="6379")
    assert load_settings() == Settings()


def test_a_web_address_loses_its_last_slash_and_a_level_its_capitals(given: Callable[..., None]) -> None:
    given(TUMA_PUBLIC_URL="https://sms.example/hooks/", TUMA_LOG_LEVEL="WARNING")
    settings = load_settings()
    assert (settings.public_url, settings.log_level) == ("https://sms.example/hooks", "warning")


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().gateway_port = 1  # type: ignore[misc] # that it is an error is the point
    with pytest.raises(ValidationError, match="frozen"):
        account().timeout = 1  # type: ignore[misc] # that it is an error is the point
