"""What can be set in the sandbox, and how a JSON patch becomes a checked, unchangeable value.

Everything here may be changed while the sandbox runs (`POST /_sandbox/config`), except `webhook_threads`. Times are seconds
unless the name says otherwise.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

LISOLOO_TEST_KEY = "sk_test_Sandbox0000000000000000000000000"
LINESERVE_TEST_KEY = "lineserve-sandbox-key"


class SettingsError(ValueError):
    """A patch that cannot be applied; its text names the place and says what is expected there."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` (calls, or messages in an `sms` bucket) in `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Key:
    """One API key: the name the ledger shows for it, its state, and its own prepaid balance (null: the provider's default)."""

    label: str = "main"
    state: Literal["active", "suspended", "expired", "revoked", "not_allowed"] = "active"
    balance: float | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """How long a message stays where it is before the named step; `queued` is the pause before the first event."""

    queued: float = 0.05
    processing: float = 0.2
    sent: float = 0.3
    final: float = 0.5


@dataclass(frozen=True, slots=True)
class Webhook:
    """The account-level webhook. Lisoloo uses `username`/`password`, Lineserve `events` (empty: all); both sign with `secret`.

    `signature_header` is the provider's own where it is empty. With `timestamp_header` it covers `<Unix seconds>.<body>`.
    """

    url: str = ""
    username: str = ""
    password: str = ""
    secret: str = ""
    signature_header: str = ""
    timestamp_header: str = ""
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lisoloo:
    """Lisoloo's stand-in. `suspicious_after` early retries in a row suspend the key (1302) for `suspension`; 0: never.

    With `cancel_within` it takes that field of an immediate send, `inbound_event` is the event of messages that people write
    (empty: there are none), and it signs with the webhook's `secret`; all three are announced, and their terms assumed. What
    follows `timezone` is about sends for later. `horizon` and `lead` say how far ahead a date may and must be (0: no such rule).
    `control` says whether cancel, pause and resume are there, or how their absence is answered.
    """

    environment: Literal["sandbox", "production"] = "sandbox"
    keys: dict[str, Key] = field(default_factory=lambda: {LISOLOO_TEST_KEY: Key()})
    limits: dict[str, tuple[Limit, ...]] = field(
        default_factory=lambda: {
            "send": (Limit(60, 60),),
            "status": (Limit(120, 60),),
            "balance": (Limit(30, 60),),
            **dict.fromkeys(("cancel", "pause", "resume"), (Limit(60, 60),)),
        },
    )
    window: Literal["sliding", "fixed"] = "sliding"
    count_refused: bool = True
    suspicious_after: int = 0
    suspension: float = 900
    send_status: int = 201
    error_format: Literal["mixed", "structured", "detail"] = "mixed"
    segment_rule: Literal["gsm_concat", "table160"] = "gsm_concat"
    recipient_cap: int | None = None
    sender_pattern: str = "[A-Z0-9]{1,11}"
    instant_alias: bool = False
    balance: float | None = 100_000.0
    postpaid_balance: float | None = None
    unit_price: float = 0.02
    currency: str = "USD"
    carrier: str = "sandbox-drc"
    failed_event_for_every_bad_end: bool = True
    webhook: Webhook = Webhook()
    basic_auth_on_callbacks: bool = True
    sign_callbacks: bool = True
    retry_delays: tuple[float, ...] = (30, 120, 600)
    webhook_timeout: float = 10
    cancel_within: bool = False
    inbound_event: str = ""
    timezone: str = "Africa/Kinshasa"
    sends_for_later: bool = True
    most_dates: int = 20
    too_many_dates: Literal["1106", "1110"] = "1106"
    most_dispatches: int | None = None
    horizon: float = 366 * 86_400
    lead: float = 0
    end_inclusive: bool = True
    control: Literal["there", "404", "405"] = "there"
    control_status: int = 200
    wrong_state_status: int = 409
    repeat_succeeds: bool = False
    status_tells_control: bool = True
    refund: bool = False


@dataclass(frozen=True, slots=True)
class Lineserve:
    """Lineserve's stand-in. `senders` empty: every well-formed sender is approved. `balance` null: money never runs out.

    `inbound_event` is the event of messages that people write (empty: there are none), which is assumed. What follows it is about
    all that Lineserve shows no answers of. A registered sender gets `sender_verdict` when the clock of schedules has gone on by
    `sender_verdict_after`; with `sender_by_country` a sender must have been registered and be approved for the recipient's
    country. `opt_outs` says whether a number that opted out is refused (an item of a bulk send is rejected) or sent to all the
    same.
    """

    keys: dict[str, Key] = field(default_factory=lambda: {LINESERVE_TEST_KEY: Key()})
    limits: dict[str, tuple[Limit, ...]] = field(
        default_factory=lambda: {"requests": (Limit(100, 60), Limit(1000, 3600)), "sms": (Limit(10_000, 3600),)},
    )
    window: Literal["sliding", "fixed"] = "sliding"
    count_refused: bool = True
    retry_after: bool = False
    quota_counts_parts: bool = False
    first_status: Literal["pending", "sent"] = "pending"
    bulk_cap: int = 1000
    bulk_cap_status: int = 400
    bad_bulk_number: Literal["refuse", "reject_item"] = "refuse"
    rate_code: str = "rate_limit_exceeded"
    senders: tuple[str, ...] = ()
    balance: float | None = None
    unit_price: float = 0.05
    currency: str = "USD"
    network: str = "Sandbox"
    country: str = "Kenya"
    history_delay: float = 0
    webhook: Webhook = Webhook()
    sign_callbacks: bool = False
    retry_delays: tuple[float, ...] = (10, 60, 300, 1800)
    webhook_timeout: float = 10
    inbound_event: str = ""
    created_status: int = 201
    sender_verdict: Literal["approved", "rejected", "pending"] = "approved"
    sender_verdict_after: float = 86_400
    sender_by_country: bool = False
    opt_outs: Literal["heeded", "ignored"] = "heeded"
    opt_out_code: str = "recipient_opted_out"
    missing_variable: Literal["refuse", "keep"] = "refuse"
    extra_variable: Literal["ignore", "refuse"] = "ignore"
    contacts_per_call: int = 1000
    repeated_contact: Literal["replaces", "adds"] = "replaces"


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole sandbox.

    `outcomes` are the dice: weights by outcome name. `webhook_factor` scales the delays between webhook retries.
    `magic_numbers` switches the table of numbers with a fate of their own (README.md).
    """

    seed: int = 1
    latency_ms: float = 0
    steps: Steps = Steps()
    outcomes: dict[str, float] = field(default_factory=lambda: {"delivered": 1.0})
    magic_numbers: bool = True
    allow_http_callbacks: bool = True
    webhook_factor: float = 1.0
    webhook_threads: int = 4
    lisoloo: Lisoloo = field(default_factory=Lisoloo)
    lineserve: Lineserve = field(default_factory=Lineserve)


def load(data: object) -> Settings:
    """Settings from a JSON object; what is missing keeps its default. Raises SettingsError."""
    return typing.cast("Settings", _build(Settings, data, "config"))


def patched(settings: Settings, patch: object) -> Settings:
    """The settings after a JSON merge: objects merge, null removes an object or a list (back to its default), all else replaces."""
    return load(_merge(as_json(settings), patch))


def as_json(settings: Settings) -> dict[str, Any]:
    """The settings as JSON would hold them."""
    return dataclasses.asdict(settings)


def _merge(target: object, patch: object) -> object:
    if not isinstance(patch, dict):
        return patch
    merged: dict[str, object] = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None and isinstance(merged.get(name), (dict, list, tuple)):
            del merged[name]
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _build(kind: Any, data: object, place: str) -> object:  # noqa: ANN401  a type expression has no narrower type
    if dataclasses.is_dataclass(kind):
        return _build_object(typing.cast("type", kind), data, place)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return _check(data in arguments, data, place, f"one of {', '.join(map(str, arguments))}")
    if origin is types.UnionType:
        return None if data is None else _build(arguments[0], data, place)
    if origin is tuple:
        _check(isinstance(data, (list, tuple)), data, place, "a list")
        return tuple(_build(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(typing.cast("list[object]", data)))
    if origin is dict:
        _check(isinstance(data, dict), data, place, "an object")
        items = typing.cast("dict[str, object]", data).items()
        return {name: _build(arguments[1], value, f"{place}.{name}") for name, value in items}
    return _build_scalar(kind, data, place)


def _build_object(kind: type, data: object, place: str) -> object:
    _check(isinstance(data, dict), data, place, "an object")
    given = typing.cast("dict[str, object]", data)
    hints = typing.get_type_hints(kind)
    unknown = sorted(given.keys() - hints.keys())
    if unknown:
        msg = f"{place}: unknown {', '.join(unknown)}; known are {', '.join(sorted(hints))}"
        raise SettingsError(msg)
    return kind(**{name: _build(hints[name], value, f"{place}.{name}") for name, value in given.items()})


def _build_scalar(kind: type, data: object, place: str) -> object:
    if kind is bool or isinstance(data, bool):
        return _check(kind is bool and isinstance(data, bool), data, place, _WORDS[kind])
    if kind is float:
        _check(isinstance(data, (int, float)), data, place, _WORDS[kind])
        return _check(typing.cast("float", data) >= 0, data, place, "a number from 0 up")
    return _check(isinstance(data, kind), data, place, _WORDS[kind])


_WORDS: dict[type, str] = {bool: "true or false", float: "a number", int: "a whole number", str: "a text"}


def _check(good: bool, data: object, place: str, expected: str) -> object:  # noqa: FBT001  the verdict is what it is about
    if not good:
        msg = f"{place}: expected {expected}"
        raise SettingsError(msg)
    return data
