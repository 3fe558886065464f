"""The settings of an account: its defaults, the rule of each field, and which go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from tests.unit.conftest import KEY, MAIN, account, problems

from tuma_producer.errors import TumaError
from tuma_worker.bootstrap.configured import check_accounts
from tuma_worker.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable


def test_an_account_takes_its_defaults_from_what_is_safe() -> None:
    made = account()
    assert (made.environment, made.cold_start, made.paced, made.floors) == ("production", "paced", ("bulk",), {"otp": 0.05})
    assert (made.timeout, made.lease, made.resolve_after) == (30, 15, 60)
    assert (made.limits, made.batch_max, made.timezone, made.base_url) == (None, None, None, None)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"limits": ["60/min", "50/minute"]}, "two limits for the same count and window"),
        ({"limits": []}, "at least one limit"),
        ({"limits": ["0/min"]}, "count must be at least 1"),
        ({"floors": {"otp": 0.6, "transactional": 0.4}}, "less than 1"),
        ({"floors": {"otp": -0.1}}, "greater than or equal to 0"),
        ({"floors": {"vip": 0.1}}, "'otp', 'transactional' or 'bulk'"),
        ({"paced": ["all"]}, "'otp', 'transactional' or 'bulk'"),
        ({"timezone": "Kinshasa"}, "IANA time zone"),
        ({"timezone": "../etc/passwd"}, "IANA time zone"),
        ({"base_url": "sms.example"}, "http:// or https:// address"),
        ({"base_url": "https://user:pw@sms.example"}, "without user and password"),
        ({"base_url": "https://sms.example:port"}, "http:// or https:// address"),
        ({"environment": "staging"}, "'production' or 'sandbox'"),
        ({"cold_start": "hot"}, "'paced' or 'burst'"),
        ({"batch_max": 0}, "greater than or equal to 1"),
        ({"timeout": "inf"}, "finite"),
        ({"lease": 0}, "greater than 0"),
        ({"webhook_username": "tuma"}, "set both or neither"),
        ({"webhook_password": "x"}, "set both or neither"),
        ({"api_key": "  "}, "is empty"),
        ({"nonsense": 1}, "Extra inputs"),
        ({"templates": {"code": "Your code is {{code"}}, "two braces that are no place for a variable"),
        ({"provider_templates": {"code": "tpl_1"}}, "needs the text of each of provider_templates in templates; 'code' has none"),
        ({"approved": {"KITOKO": ["243"]}}, "String should match pattern"),
        ({"unit_price": "0.02"}, "needs unit_price and currency together"),
        ({"unit_price": "0", "currency": "USD"}, "greater than 0"),
        ({"unit_price": "0.02", "currency": "dollars"}, "String should match pattern"),
        ({"templates": {"my code": "12"}}, "String should match pattern"),
        ({"quiet": {"hours": "21-7"}}, "two times of day such as 21:00-07:00"),
        ({"quiet": {"hours": "07:00-07:00"}}, "begin and end at different times"),
        ({"quiet": {"hours": "21:00-07:00", "priorities": ["slow"]}}, "'otp', 'transactional' or 'bulk'"),
        ({"quiet": {"hours": "21:00-07:00", "action": "drop"}}, "'defer' or 'expire'"),
        ({"quiet": {"hours": "21:00-07:00", "countries": {"Kenya": "off"}}}, "no country of two capital letters"),
        ({"quiet": {"hours": "21:00-07:00", "countries": {"KE": "never"}}}, "two times of day"),
        ({"quiet": {}}, "Field required"),
    ],
)
def test_an_account_field_that_breaks_its_rule_is_refused(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        account(**fields)


def test_what_an_account_carries_for_others_is_set_by_lists(given: Callable[..., None]) -> None:
    given(
        **{
            MAIN + "PROVIDER": "lisoloo",
            MAIN + "API_KEY": KEY,
            MAIN + "COUNTRIES": "+243, +242",
            MAIN + "SENDERS": "KITOKO",
            MAIN + "CARRIES": "otp",
        }
    )
    found = load_settings().accounts["lisoloo-main"]
    assert (found.countries, found.senders, found.carries, found.own_sender) == (("+243", "+242"), ("KITOKO",), ("otp",), False)


def test_what_an_account_cannot_carry_by_is_refused(given: Callable[..., None]) -> None:
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "COUNTRIES": "243", MAIN + "OWN_SENDER": "true"})
    assert [problem.partition(":")[0] for problem in problems()] == [f"{MAIN}COUNTRIES[0]"]
    given(**{MAIN + "COUNTRIES": "+243"})
    assert problems() == [
        f"{MAIN.removesuffix('__')}: needs sender_id with own_sender; set the sender that it is to show, or leave own_sender out"
    ]


def test_a_reserve_is_an_amount_and_a_unit(given: Callable[..., None]) -> None:
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "RESERVE": "5000"})
    (problem,) = problems()
    assert problem.startswith(f"{MAIN}RESERVE: is no reserve; write an amount of the account's currency, such as '5000 CDF'")
    given(**{MAIN + "RESERVE": "5000 CDF"})
    assert load_settings().accounts["lisoloo-main"].reserve == "5000 CDF"


def test_a_reserve_needs_a_provider_that_tells_the_balance() -> None:
    settings = Settings(accounts={"main": account(provider="lineserve", base_url="https://a.example", reserve="0 USD")})
    with pytest.raises(TumaError, match=r"^account main: reserve: lineserve tells no balance; leave it out$"):
        check_accounts(settings)


def test_only_a_provider_that_holds_calls_back_can_be_asked_to() -> None:
    settings = Settings(
        accounts={"main": account(provider="lineserve", base_url="https://a.example", provider_cancel_within={"bulk": 30})}
    )
    with pytest.raises(TumaError, match=r"^account main: provider_cancel_within: lineserve holds nothing back; leave it out$"):
        check_accounts(settings)


def test_only_a_provider_that_fills_templates_can_be_asked_to() -> None:
    kept = {"templates": {"code": "{{code}}"}, "provider_templates": {"code": "tpl_1"}}
    check_accounts(Settings(accounts={"main": account(provider="lineserve", base_url="https://a.example", **kept)}))
    settings = Settings(accounts={"main": account(provider="lisoloo", base_url="https://a.example", api_key="sk_live_x", **kept)})
    with pytest.raises(TumaError, match=r"^account main: provider_templates: lisoloo fills no templates; leave it out$"):
        check_accounts(settings)


def test_a_call_is_remembered_for_as_long_as_its_receipts_are_waited_for(given: Callable[..., None]) -> None:
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "ATTEMPTS_FOR": "86400"})
    assert problems() == [
        f"{MAIN.removesuffix('__')}: needs attempts_for no shorter than receipts_for (259200), in which receipts are waited for"
    ]
    given(**{MAIN + "RECEIPTS_FOR": "86400"})
    assert load_settings().accounts["lisoloo-main"].attempts_for == 86_400.0


def test_quiet_hours_are_a_table_in_the_file_or_json_in_a_variable(
    given: Callable[..., None], config: Callable[[str], str]
) -> None:
    account_a = f'[accounts.a]\nprovider = "lisoloo"\napi_key = "{KEY}"\n'
    config(account_a + '[accounts.a.quiet]\nhours = "21:00-07:00"\ncountries = { KE = "off" }\n')
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "QUIET": '{"hours": "22:00-06:00", "action": "expire"}'})
    accounts = load_settings().accounts
    in_file, in_variable = accounts["a"].quiet, accounts["lisoloo-main"].quiet
    assert in_file is not None
    assert (in_file.hours, in_file.priorities, in_file.action, in_file.countries) == (
        "21:00-07:00",
        ("bulk",),
        "defer",
        {"KE": "off"},
    )
    assert in_variable is not None
    assert (in_variable.hours, in_variable.action) == ("22:00-06:00", "expire")


def test_a_mistake_in_quiet_hours_is_told_with_its_place(config: Callable[[str], str]) -> None:
    path = config(
        f'[accounts.a]\nprovider = "lisoloo"\napi_key = "{KEY}"\n[accounts.a.quiet]\nhour = "21:00-07:00"\nhours = "21-7"\n'
    )
    assert sorted(problems()) == [
        f"{path} (accounts.a.quiet.hour): is not a setting; did you mean hours?",
        f"{path} (accounts.a.quiet.hours): must be two times of day such as 21:00-07:00, or off",
    ]
