"""What a producer asks for: a send, and the rules of its fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tuma_producer.errors import InvalidSend
from tuma_producer.findings import first_finding
from tuma_producer.schedules import At, Every, in_range, read_schedule

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_RECIPIENTS = 10_000  # of one intent: it is written in one atomic step, which must not hold up everybody else's
MAX_CHARACTERS = 1_600  # of a text: both providers' documented maximum

MAX_FAILOVER = 8  # accounts that one send may fail over to

Priority = Literal["otp", "transactional", "bulk"]
_Account = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]

_SPACING = re.compile(r"[\s\-().\u00a0\u2011]")
_E164 = re.compile(r"\+[1-9][0-9]{7,14}")  # `\d` would let the digits of every script through
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_MAX_URL = 2048
_MAX_LIFE = 10 * 366 * 86_400.0  # seconds; more than anybody means, and small enough to add to a time
_MAX_HOLD = 86_400.0  # seconds; who wants to wait longer wants a schedule
_SHOWN, _HIDDEN = (4, 2), 3  # of a masked number: characters at its two ends, and how many must stay hidden between them


def normalise_number(number: str) -> str:
    """A phone number as E.164: spaces, dashes, dots and brackets removed, a leading `00` read as `+`.

    Raises `ValueError` where the rest is no international number. The message does not repeat the number.
    """
    compact = _SPACING.sub("", number)
    if compact.startswith("00"):
        compact = "+" + compact[2:]
    if not _E164.fullmatch(compact):
        message = f"{mask(compact)} is not an international number: a plus sign and 8 to 15 digits, the first of them not 0"
        raise ValueError(message)
    return compact


def mask(number: str) -> str:
    """A number as it may be shown: its first and last few characters, or none where that would be nearly all, or is no text."""
    first, last = _SHOWN
    return f"{number[:first]}…{number[-last:]}" if len(number) >= first + _HIDDEN + last and number.isprintable() else "…"


def checked_source(source: str) -> str:
    """A service's name, as it may stand in keys and jobs. Raises `InvalidSend`."""
    if not _NAME.fullmatch(source):
        field, rule = "source", "must be 1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"
        raise InvalidSend(field, rule)
    return source


def normalise_numbers(value: object) -> list[str]:
    """One phone number or a list as E.164. Raises `ValueError` that says which entry breaks a rule, without repeating it."""
    entries = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else None
    if not entries:
        message = "must be a phone number or a list with at least one"
        raise ValueError(message)
    if len(entries) > MAX_RECIPIENTS:
        message = f"has {len(entries)} numbers; at most {MAX_RECIPIENTS} fit one send, split the list"
        raise ValueError(message)
    return normalise_each(entries)


def normalise_each(entries: Iterable[object]) -> list[str]:
    """Phone numbers as E.164, however many. Raises `ValueError` as `normalise_numbers` does."""
    return [_number(position, entry) for position, entry in enumerate(entries)]


def _number(position: int, entry: object) -> str:
    if not isinstance(entry, str):
        message = f"entry {position} is no text"
        raise ValueError(message)  # noqa: TRY004 - pydantic turns ValueError, and not TypeError, into a finding
    try:
        return normalise_number(entry)
    except ValueError as error:
        message = f"entry {position}: {error}"
        raise ValueError(message) from None


def web_address(url: str) -> str:
    """An address to which events can be posted. Raises `ValueError`."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        usable = usable and not parts.fragment and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable or len(url) > _MAX_URL:
        message = f"must be an http:// or https:// address of at most {_MAX_URL} characters, without user, password and fragment"
        raise ValueError(message)
    return url


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _not_blank(text: str) -> str:
    if not text.strip():
        message = "is empty"
        raise ValueError(message)
    return text


class Send(BaseModel):
    """One send intent: this text, to these recipients, through this account.

    Construct it with keywords; a field that breaks a rule raises `InvalidSend` naming field and rule.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"oneOf": [{"required": ["message"]}, {"required": ["template_id"]}]},
    )

    account: _Account
    """The account to send through, as ops named it."""
    failover: Annotated[tuple[_Account, ...], Field(max_length=MAX_FAILOVER), BeforeValidator(_several)] = ()
    """Other accounts, in order of preference: where `account` is halted or its breaker open, the first of them that works and may
    send this carries what still waits, never after a call whose outcome is unknown. One name or a list."""
    to: Annotated[list[str], BeforeValidator(normalise_numbers)]
    """One number or a list. Spaces, dashes and a leading 00 are understood; duplicates are dropped and counted in the receipt."""
    message: Annotated[str, Field(max_length=MAX_CHARACTERS), AfterValidator(_not_blank)] = ""
    """The text, at most 1,600 characters. Either this or `template_id` must be given."""
    template_id: Annotated[str, Field(pattern=_NAME.pattern)] | None = None
    """The account's template that the text is made of when it is enqueued, as ops named it. To read it costs a round trip."""
    variables: dict[str, str] = Field(default_factory=dict)
    """What stands in the template's places: each variable of it, and no other."""
    sender_id: Annotated[str, Field(max_length=15), AfterValidator(_not_blank)] | None = None
    """What the handset shows as the sender; the account's own where absent."""
    priority: Priority = "transactional"
    """`otp` goes before `transactional`, which goes before `bulk`."""
    source: Annotated[str, Field(pattern=_NAME.pattern)] | None = None
    """The service that asks; fairness is between sources. The producer's own where absent."""
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """The same key with the same send is the same intent, however often it is enqueued within 30 days."""
    expires_in: Annotated[float, Field(gt=0, le=_MAX_LIFE)] | None = None
    """Seconds from acceptance after which it must not be handed over any more; it then ends `expired`. An `otp` has ten minutes.
    Those of a schedule's occurrences count from when they fire, be it late."""
    expires_at: Annotated[AwareDatetime, AfterValidator(in_range)] | None = None
    """The same as an instant. At most one of the two may be given."""
    cancel_within: Annotated[float, Field(gt=0, le=_MAX_HOLD)] | None = None
    """Seconds for which it is held back before its first call, so that it can still be withdrawn whole."""
    schedule: Annotated[At | Every, BeforeValidator(read_schedule)] | None = None
    """When it is to be sent, once at each time; at once where absent. Each occurrence is an intent of its own."""
    refuse_if_late: bool = False
    """Whether it is refused (`WouldBeLate`) where it cannot make its deadline at the present backlog; otherwise it has an `eta`."""
    eta: bool = False
    """Whether the receipt shall tell when it is expected to go. To look costs two round trips."""
    ignore_quiet: bool = False
    """Whether it goes in the account's quiet hours as well. It is kept, and told by `get`."""
    custody: Literal["worker", "provider"] = "worker"
    """Who keeps a schedule: Tuma's workers, or the provider, to whom it is then handed over whole and paid for at once."""
    callback_url: Annotated[str, AfterValidator(web_address)] | None = None
    """Where each of its events is posted, signed with the secret that ops have agreed on with its source."""
    on_unknown: Literal["hold", "resend"] = "hold"
    """What to do with a call whose outcome stays unknown: end `unknown`, or send again at the risk of a second copy."""
    coalesce: bool = True
    """Whether recipients may share a provider's call with those of other intents with the same text and sender."""
    campaign_name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """A label by which it is found, and cancelled, paused and resumed with all others that have the same."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """The caller's own labels; they come back in `get`."""

    def __init__(self, /, **data: Any) -> None:  # noqa: ANN401 - pydantic checks every field; this only turns its error into ours
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise InvalidSend(*first_finding(error)) from None

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if bool(self.message) == (self.template_id is not None):
            name, rule = "message", "must be given, or a template_id" if not self.message else "cannot go with a template_id"
            raise InvalidSend(name, rule)
        if self.variables and self.template_id is None:
            name, rule = "variables", "need the template_id of a template that has places for them"
            raise InvalidSend(name, rule)
        return self

    @model_validator(mode="after")
    def _within_schedule(self) -> Self:
        if self.schedule is not None and self.expires_at is not None:
            field, rule = "expires_at", "cannot go with a schedule; give expires_in, which counts from each firing"
            raise InvalidSend(field, rule)
        if self.schedule is not None and self.cancel_within is not None:
            field, rule = "cancel_within", "cannot go with a schedule, whose occurrences can be withdrawn until they fire"
            raise InvalidSend(field, rule)
        return self

    @model_validator(mode="after")
    def _other_accounts(self) -> Self:
        if self.failover and len({self.account, *self.failover}) <= len(self.failover):
            field, rule = "failover", "must name other accounts than the send's own, each once"
            raise InvalidSend(field, rule)
        return self

    @model_validator(mode="after")
    def _looked_into(self) -> Self:
        if not (self.refuse_if_late or self.eta):
            return self
        if self.schedule is not None:
            name, rule = (
                "refuse_if_late" if self.refuse_if_late else "eta",
                "cannot go with a schedule: the backlog of then is not known",
            )
            raise InvalidSend(name, rule)
        if self.refuse_if_late and self.expires_in is None and self.expires_at is None and self.priority != "otp":
            name, rule = "refuse_if_late", "needs a deadline; give expires_in or expires_at"
            raise InvalidSend(name, rule)
        return self

    @model_validator(mode="after")
    def _within_custody(self) -> Self:
        if self.custody != "provider":
            return self
        refusals = {
            "custody": (self.schedule is None, "provider is for a send with a schedule"),
            "expires_in": (
                self.expires_in is not None,
                "cannot go with custody provider, who sends at each date whatever the time",
            ),
            "on_unknown": (self.on_unknown == "resend", "cannot be resend with custody provider: all dates would go out twice"),
            "failover": (bool(self.failover), "cannot go with custody provider: no other account can carry what it is to keep"),
        }
        for name, (broken, rule) in refusals.items():
            if broken:
                raise InvalidSend(name, rule)
        return self

    @model_validator(mode="after")
    def _one_deadline(self) -> Self:
        if self.expires_in is not None and self.expires_at is not None:
            field, rule = "expires_at", "give either expires_in or expires_at, not both"
            raise InvalidSend(field, rule)
        if self.cancel_within is not None and self.expires_in is not None and self.cancel_within >= self.expires_in:
            field, rule = "cancel_within", "must be less than expires_in: it would expire before its first call"
            raise InvalidSend(field, rule)
        return self
