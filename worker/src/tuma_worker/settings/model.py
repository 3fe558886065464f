"""The settings themselves: what may be set, of which kind, with which default."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from tuma_producer.schedules import Zone
from tuma_worker.core.stopping import WORDS
from tuma_worker.settings.fields import (
    AccountName,
    Approved,
    CountryHours,
    Currency,
    Duration,
    Floors,
    Hours,
    Lane,
    Lanes,
    LaneSeconds,
    Level,
    Limits,
    Networks,
    Prefixes,
    Price,
    ProviderTemplates,
    RedisAddress,
    Reserve,
    Route,
    Seconds,
    Secret,
    Share,
    Templates,
    Text,
    Texts,
    WebAddress,
    json_text,
)
from tuma_worker.settings.sources import (
    PREFIX,
    Layer,
    from_account_variables,
    from_file,
    from_special_variables,
    our_variables,
    with_secret_files,
)

_REDIS_PASSWORD = re.compile(r"(?<=://).*(?=@)|(?<=password=)[^&#]+")


def _otp_floor() -> dict[Lane, float]:
    return {"otp": 0.05}


class QuietHours(BaseModel):
    """When an account sends nothing of these `priorities`: from one time of day to another, where a number's people live.

    What comes to its turn then waits until they are over (`defer`) or ends (`expire`). `countries`, by their two letters, may have
    hours of their own. `off` is never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    hours: Hours
    priorities: Lanes = ("bulk",)
    action: Literal["defer", "expire"] = "defer"
    countries: CountryHours = Field(default_factory=dict)


class Account(BaseModel):
    """One provider API key with its address, limits, sender and webhook credentials.

    What is None is the provider's own default. `floors` are shares of each window that lower lanes may not touch; `guard` is
    the share of calls that goes to each waiting lower lane whatever waits above it, with one job each where a floor is in the way;
    lanes in `paced` are spread over the window instead of bursting; `cold_start` says how the first window goes when the limiter's
    state is new.
    `control_limits` and `status_limits` are those of the calls by which dates that the provider keeps are steered and looked at,
    `balance_limits` those of asking for the balance, where that has limits of its own.

    Seconds: `schedule_lead` that the first such date must lie ahead when it is handed over, `provider_cancel_within`, by priority,
    for which the provider is asked to hold back what goes at once, so that it can be withdrawn there (none: not at all), `timeout`
    of one call, `lease` of a job, `resolve_after` without answer or receipt before an attempt is looked into, `receipts_for`
    without news of a recipient that the provider took before it ends as unknown (at most the four days that attempts are
    remembered), `poll_after` without a receipt before the provider is asked about a call (0: never; None: as the provider's
    receipts come), `bad_number_ttl` for which a number that the provider blamed is left out of calls (0: never).

    While the account is halted the provider is asked every `probe_every` seconds whether it may go on; where it cannot be asked,
    one send tries each `cool_down` seconds. `breaker_after` calls in a row that fail or take longer than `slow_after` seconds open
    the breaker for `breaker_open` seconds, and for longer each time that the call which then tries fails too. In `quiet` hours, by
    the clocks where a number's people live or else by `timezone`, nothing of some priorities is sent.

    Webhooks are believed with the present credentials or, while these are being replaced, with `webhook_password_old` and
    `webhook_secret_old`; only from the addresses in `webhook_from`, networks such as 203.0.113.0/24 (none: from anywhere). Where
    the provider names a `webhook_timestamp_header`, the signature covers `<timestamp>.<body>`, and an old one is refused. What
    they said is kept as it came for `raw_receipts_for` seconds (0: not at all). An intent that is over is remembered for
    `records_for` seconds, an hour at the least and a week at the most, and its text for `texts_for` (None: for as long); a call
    that was answered for `attempts_for`, four days at the most, and no shorter than `receipts_for`; events for `events_for`, a
    week at the most.
    `inbound_event` is the event by which the provider tells of messages that people write (None: they are not taken in); who writes
    one of `stop_words`, and nothing else, is put on the account's suppression list.

    Where `approved` is set, each sender is shown to numbers alone that begin with one of its prefixes, such as
    `{"KITOKO": ["+243"]}`; recipients to whom theirs may not be shown are refused before a call.

    `unit_price` is what one segment to one recipient costs, in `currency`, for estimates; where it is not set, what the last call
    was charged. Of its balance, asked for every `balance_every` seconds, `reserve` is kept for the lanes above bulk: an amount of
    the currency that the provider names, or of messages (None: nothing is kept, and nobody asks). `templates` are texts by name,
    with places such as `{{code}}`, that sends through it may ask for. `provider_templates` are the ids of those that the provider
    keeps as well, by the same names: it is then asked to make the text itself, for one recipient in a call.

    What it carries for other accounts that are halted: numbers that begin with one of `countries`, such as `+243` (none: all), of
    the priorities in `carries`, from a sender in `senders` (none: all) or its own `sender_id`; from any other under its own
    `sender_id`, where `own_sender` allows that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    provider: Text
    api_key: Secret
    base_url: WebAddress | None = None
    environment: Literal["production", "sandbox"] = "production"
    timezone: Zone | None = None
    sender_id: Text | None = None
    limits: Limits | None = None
    control_limits: Limits | None = None
    status_limits: Limits | None = None
    balance_limits: Limits | None = None
    schedule_lead: Duration = 120.0
    provider_cancel_within: LaneSeconds = Field(default_factory=dict)
    floors: Floors = Field(default_factory=_otp_floor)
    guard: Share = 0.01
    paced: Lanes = ("bulk",)
    cold_start: Literal["paced", "burst"] = "paced"
    batch_max: Annotated[int, Field(ge=1, le=1000)] | None = None  # no provider documents more, and a script takes no more at once
    timeout: Seconds = 30.0
    lease: Seconds = 15.0
    resolve_after: Seconds = 60.0
    receipts_for: Annotated[Seconds, Field(le=345_600)] = 259_200.0
    poll_after: Duration | None = None
    bad_number_ttl: Duration = 86_400.0
    probe_every: Seconds = 60.0
    cool_down: Seconds = 900.0
    countries: Prefixes = ()
    senders: Texts = ()
    own_sender: bool = False
    approved: Approved = Field(default_factory=dict)
    carries: Lanes = ("otp", "transactional", "bulk")
    breaker_after: Annotated[int, Field(ge=1)] = 5
    breaker_open: Seconds = 5.0
    slow_after: Seconds = 10.0
    unit_price: Price | None = None
    currency: Currency | None = None
    reserve: Reserve | None = None
    balance_every: Seconds = 60.0
    templates: Templates = Field(default_factory=dict)
    provider_templates: ProviderTemplates = Field(default_factory=dict)
    quiet: Annotated[QuietHours, BeforeValidator(json_text)] | None = None
    webhook_username: Text | None = None
    webhook_password: Secret | None = None
    webhook_password_old: Secret | None = None
    webhook_secret: Secret | None = None
    webhook_secret_old: Secret | None = None
    webhook_timestamp_header: Text | None = None
    webhook_from: Networks = ()
    raw_receipts_for: Duration = 259_200.0
    records_for: Annotated[Seconds, Field(ge=3600, le=604_800)] = 604_800.0
    texts_for: Duration | None = None
    attempts_for: Annotated[Seconds, Field(ge=3600, le=345_600)] = 345_600.0
    events_for: Annotated[Seconds, Field(le=604_800)] = 604_800.0
    inbound_event: Text | None = None
    stop_words: Texts = WORDS

    @model_validator(mode="after")
    def _webhook_pair(self) -> Self:
        if (self.webhook_username is None) != (self.webhook_password is None):
            message = "needs webhook_username and webhook_password together; set both or neither"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _old_beside_new(self) -> Self:
        pairs = {"webhook_password": self.webhook_password_old, "webhook_secret": self.webhook_secret_old}
        for name, old in pairs.items():
            if old is not None and getattr(self, name) is None:
                message = f"needs {name} beside {name}_old; set the one that is to replace it, or leave the old one out"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _whole_price(self) -> Self:
        if (self.unit_price is None) != (self.currency is None):
            message = "needs unit_price and currency together; set both or neither"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _knows_their_texts(self) -> Self:
        if unknown := sorted(self.provider_templates.keys() - self.templates.keys()):
            message = f"needs the text of each of provider_templates in templates; {unknown[0]!r} has none, add it"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _remembers_what_it_waits_for(self) -> Self:
        if self.attempts_for < self.receipts_for:
            message = f"needs attempts_for no shorter than receipts_for ({self.receipts_for:g}), in which receipts are waited for"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _shows_something(self) -> Self:
        if self.own_sender and self.sender_id is None:
            message = "needs sender_id with own_sender; set the sender that it is to show, or leave own_sender out"
            raise ValueError(message)
        return self


class Settings(BaseSettings):
    """All settings of the service. Made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    redis_url: RedisAddress = Field(
        default="redis://127.0.0.1:6379/0",
        repr=False,  # it may hold a password
    )
    config_file: Path | None = None
    accounts: Annotated[dict[AccountName, Account], NoDecode] = Field(default_factory=dict)
    routes: Annotated[dict[AccountName, Route], NoDecode] = Field(default_factory=dict)
    public_url: WebAddress | None = None  # where providers reach the gateway from outside, for callbacks
    gateway_host: Text = "127.0.0.1"
    gateway_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    gateway_proxies: Annotated[
        Networks, NoDecode
    ] = ()  # whose word on where a request comes from is taken: what stands before the gateway
    gateway_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0  # where `tuma gateway` shows its counters; 0: nowhere
    metrics_host: Text = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0  # where `tuma worker` shows its counters; 0: nowhere
    ops_host: Text = "127.0.0.1"
    ops_port: Annotated[int, Field(ge=0, le=65535)] = 0  # where a worker answers probes and says how many it should be; 0: nowhere
    sweep_every: Seconds = 120.0  # seconds between two looks for recipients that nobody owns
    push_networks: Annotated[Networks, NoDecode] = ()  # where subscribers may be beside public addresses, such as 10.0.0.0/8
    push_timeout: Seconds = 15.0  # seconds that a subscriber may take to answer
    push_at_once: Annotated[int, Field(ge=1, le=32)] = 8  # events on their way to one subscriber's endpoint at most
    poll_every: Seconds = 120.0  # seconds between two rounds of asking about calls of which no receipt has told in time
    failover_every: Seconds = (
        1.0  # seconds between two looks whether a halted account's sends can go by another; 10 times that in calm
    )
    otlp_endpoint: WebAddress | None = None  # the collector that traces are sent to, over HTTP; None: there are none
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Level = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the single account variables over the other variables over the file; pydantic-settings merges them deeply."""
        del dotenv_settings, file_secret_settings  # secrets come from the files that settings name, not from a folder
        environ = our_variables()
        layers = (
            {"accounts": from_account_variables(environ)},
            env_settings() | from_special_variables(environ),
            from_file(environ),
        )
        return (init_settings, *(Layer(settings_cls, with_secret_files(layer)) for layer in layers))


def masked(settings: Settings) -> dict[str, Any]:
    """Return all settings, sorted and ready to print or to write as JSON; of a secret only its length is seen."""
    plain = settings.model_dump()
    shown: dict[str, Any] = _masked(plain | {"redis_url": _REDIS_PASSWORD.sub("••••", settings.redis_url)})
    return shown


def _masked(value: Any) -> Any:  # noqa: ANN401 - a settings tree: tables, lists, scalars
    match value:
        case dict():
            return {key: _masked(value[key]) for key in sorted(value)}
        case tuple():
            return [_masked(item) for item in value]
        case SecretStr():
            return f"•••• ({len(value.get_secret_value())} chars)"
        case Path() | Decimal():
            return str(value)
        case _:
            return value
