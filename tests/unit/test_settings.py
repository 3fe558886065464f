from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from tuma_producer.contract import address
from tuma_producer.errors import TumaError
from tuma_worker.bootstrap.accounts import check_accounts
from tuma_worker.core.limits import Limit
from tuma_worker.settings import Account, Settings, SettingsError, load_settings, masked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "sk_test_" + "k" * 24
MAIN = "TUMA_ACCOUNTS__LISOLOO_MAIN__"
FORM = "TUMA_ACCOUNTS__<NAME>__<FIELD>"
CORRECT = "correct it, or remove it for the default"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_variables(**variables: str) -> None:
        for name, text in variables.items():
            monkeypatch.setenv(name, text)

    return set_variables


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "tuma.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("TUMA_CONFIG_FILE", str(path))
        return str(path)

    return write


def problems() -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return str(raised.value).splitlines()


def account(**fields: Any) -> Account:  # noqa: ANN401 - any field, also a wrong one
    return Account.model_validate({"provider": "lisoloo", "api_key": KEY} | fields)


# --------------------------------------------------------------------------------------------------- where values come from


def test_without_any_setting_the_defaults_hold() -> None:
    settings = load_settings()
    assert (settings.redis_url, settings.accounts) == ("redis://127.0.0.1:6379/0", {})
    assert (settings.gateway_host, settings.gateway_port, settings.public_url) == ("127.0.0.1", 8080, None)
    assert (settings.log_format, settings.log_level) == ("auto", "info")


def test_an_account_takes_its_defaults_from_what_is_safe() -> None:
    made = account()
    assert (made.environment, made.cold_start, made.paced, made.floors) == ("production", "paced", ("bulk",), {"otp": 0.05})
    assert (made.timeout, made.lease, made.resolve_after) == (30, 15, 60)
    assert (made.limits, made.batch_max, made.timezone, made.base_url) == (None, None, None, None)


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


# ------------------------------------------------------------------------------------------------------ secrets from files


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


# ----------------------------------------------------------------------------------------------------- how problems are told


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


def test_a_reserve_is_an_amount_and_a_unit(given: Callable[..., None]) -> None:
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "RESERVE": "5000"})
    (problem,) = problems()
    assert problem.startswith(f"{MAIN}RESERVE: is no reserve; write an amount of the account's currency, such as '5000 CDF'")
    given(**{MAIN + "RESERVE": "5000 CDF"})
    assert load_settings().accounts["lisoloo-main"].reserve == "5000 CDF"


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


def test_a_reserve_needs_a_provider_that_tells_the_balance() -> None:
    settings = Settings(accounts={"main": account(provider="lineserve", base_url="https://a.example", reserve="0 USD")})
    with pytest.raises(TumaError, match=r"^account main: reserve: lineserve tells no balance; leave it out$"):
        check_accounts(settings)


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


def test_variables_that_an_orchestrator_adds_do_no_harm(given: Callable[..., None]) -> None:
    given(TUMA_GATEWAY_SERVICE_HOST="10.0.0.7", TUMA_GATEWAY_PORT_8080_TCP="tcp://10.0.0.7:8080", TUMA_REDIS_SERVICE_PORT="6379")
    assert load_settings() == Settings()


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


def test_routes_are_tables_in_the_file_and_a_json_object_in_a_variable_prefix_by_prefix(
    given: Callable[..., None], config: Callable[[str], str]
) -> None:
    config('[routes.everybody]\n"+243" = ["lisoloo-main", "lisoloo-spare"]\n"*" = "world"\n')
    given(TUMA_ROUTES=json.dumps({"everybody": {"*": ["rest"]}, "kenya": {"+254": ["lineserve-main"]}}))
    settings = load_settings()
    assert settings.routes == {
        "everybody": {"+243": ("lisoloo-main", "lisoloo-spare"), "*": ("rest",)},
        "kenya": {"+254": ("lineserve-main",)},
    }
    assert settings.accounts == {}  # a worker need not have all accounts of its routes
    assert masked(settings)["routes"]["everybody"] == {"*": ["rest"], "+243": ["lisoloo-main", "lisoloo-spare"]}


ONCE = "must name 1 to 9 accounts, each once; correct the list"


@pytest.mark.parametrize(
    ("route", "place", "rule"),
    [
        ({}, "r", "must have accounts for at least one prefix, or for '*', all other numbers; add them"),
        ({"243": ["a"]}, "r", "has '243', which is neither a prefix such as +243 nor '*' for all other numbers; correct it"),
        ({"+24324324": ["a"]}, "r", "has '+24324324', which is neither a prefix such as +243 nor '*' for all other numbers"),
        ({"+243\n": ["a"]}, "r", "has '+243\\n', which is neither a prefix"),
        ({"+243": []}, "r.+243", ONCE),
        ({"+243": ["a", "b", "a"]}, "r.+243", ONCE),
        ({"+243": [f"a{n}" for n in range(10)]}, "r.+243", ONCE),
        ({"+243": ["a", "No Name"]}, "r.+243", "String should match pattern"),
        (
            {"+243": ["a", "b"], "+254": ["c"], "*": ["a"]},
            "r",
            "has two lists that begin with 'a', for '+243' and '*'; make them the same",
        ),
    ],
)
def test_a_route_that_breaks_a_rule_is_refused(
    given: Callable[..., None], route: dict[str, list[str]], place: str, rule: str
) -> None:
    given(TUMA_ROUTES=json.dumps({"r": route}))
    (line,) = problems()
    assert line.startswith(f"TUMA_ROUTES ({place})")
    assert rule in line


def test_a_mistake_in_a_route_of_the_file_is_told_with_its_place(config: Callable[[str], str]) -> None:
    path = config('[routes.everybody]\n"+243" = []\n')
    assert problems() == [f"{path} (routes.everybody.+243): {ONCE}"]


def test_nine_accounts_are_a_route(given: Callable[..., None]) -> None:
    given(TUMA_ROUTES=json.dumps({"r": {"*": [f"a{n}" for n in range(9)]}}))
    assert len(load_settings().routes["r"]["*"]) == 9


def test_a_route_name_is_made_as_an_accounts(given: Callable[..., None]) -> None:
    given(TUMA_ROUTES=json.dumps({"Every Body": {"*": ["a"]}}))
    (line,) = problems()
    assert line.startswith("TUMA_ROUTES (Every Body): is not a name that can stand here; accounts, routes: a-z, 0-9 and '-'")


def test_routes_that_are_no_tables_are_refused(given: Callable[..., None], config: Callable[[str], str]) -> None:
    path = config("routes = ['everybody']\n")
    assert problems() == [f"{path} (routes): must be tables, one [routes.NAME] for each route; correct it"]
    given(TUMA_ROUTES="[]")
    assert problems() == ["TUMA_ROUTES: must be a JSON object, from route names to routes; correct it"]


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


def test_a_web_address_loses_its_last_slash_and_a_level_its_capitals(given: Callable[..., None]) -> None:
    given(TUMA_PUBLIC_URL="https://sms.example/hooks/", TUMA_LOG_LEVEL="WARNING")
    settings = load_settings()
    assert (settings.public_url, settings.log_level) == ("https://sms.example/hooks", "warning")


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().gateway_port = 1  # type: ignore[misc] # that it is an error is the point
    with pytest.raises(ValidationError, match="frozen"):
        account().timeout = 1  # type: ignore[misc] # that it is an error is the point


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


# ------------------------------------------------------------------------------------------------------ secrets stay secret


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


def test_a_call_is_remembered_for_as_long_as_its_receipts_are_waited_for(given: Callable[..., None]) -> None:
    given(**{MAIN + "PROVIDER": "lisoloo", MAIN + "API_KEY": KEY, MAIN + "ATTEMPTS_FOR": "86400"})
    assert problems() == [
        f"{MAIN.removesuffix('__')}: needs attempts_for no shorter than receipts_for (259200), in which receipts are waited for"
    ]
    given(**{MAIN + "RECEIPTS_FOR": "86400"})
    assert load_settings().accounts["lisoloo-main"].attempts_for == 86_400.0
