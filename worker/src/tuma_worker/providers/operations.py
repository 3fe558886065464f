"""What may be asked of a provider besides sending: each operation as data, done by a plain function over single calls.

An operation's function is handed an `Exchange`, which makes one HTTP request at a time, each under a permit of its own. It returns
one result, or yields pages of them; results are dataclasses of what was read, where None stands for what the provider did not say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from tuma_producer.errors import TumaError
from tuma_worker.core.answers import AccountFault, Rejected, TryLater
from tuma_worker.providers.http import Arrived, ask, get, post

if TYPE_CHECKING:
    from tuma_worker.core.answers import Answer, Quota
    from tuma_worker.providers.http import Http

T = TypeVar("T")


class Number(str):
    """A phone number in a result: shown masked unless it is asked for."""

    __slots__ = ()


class Private(str):
    """What else in a result is somebody's own, such as a text or a contact's name: shown only where it is asked for."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request that an operation needs.

    `path` is what follows the API's address. `bucket` is the account's operation whose limits it counts against, empty where none
    do; `messages` how many SMS it may send. `about` is the id that the path asks for: what is not found then is that.
    """

    method: str
    path: str
    bucket: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    messages: int = 0
    about: str = ""

    @property
    def repeatable(self) -> bool:
        """Whether it may be made again although nobody knows what became of the first time."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came instead of a success. `status` is None where no response came; `quotas` are what it says is left."""

    answer: Answer
    code: str
    status: int | None = None
    request_id: str | None = None
    quotas: tuple[Quota, ...] = ()


Exchange = Callable[[Request], Arrived]


class Caller(Protocol):
    """One account's way to all endpoints of its provider. Thread-safe; never raises for what a provider or a network can do."""

    def call(self, request: Request) -> Arrived | Refusal:
        """Make exactly one HTTP request. Whatever is no 2xx is refused, with its meaning."""
        ...


class NotDone(TumaError):
    """An operation was not done, or nobody knows whether it was; the text says which, and what to do."""

    def __init__(self, request: Request, refusal: Refusal) -> None:
        super().__init__(_why(request, refusal))
        self.refusal = refusal
        self.not_found = _is_missing(request, refusal)


def _why(request: Request, refusal: Refusal) -> str:
    what = f"{request.method} {request.path.split('/' + request.about)[0] if request.about else request.path}"
    reference = f", request {refusal.request_id}" if refusal.request_id else ""
    said = f"{what}: {refusal.code}{reference}"
    if _is_missing(request, refusal):
        return f"{said}: the provider does not know it"
    match refusal.answer:
        case AccountFault():
            return f"{said}: the provider refuses the account ({refusal.answer.fault}); put that right first"
        case Rejected():
            return f"{said}: the provider refuses it; correct what was asked for"
        case TryLater():
            return f"{said}: not now; nothing was done, try again later"
        case _:
            return f"{said}: nobody knows whether it was done; look before doing it again"


_NOT_FOUND = 404


def _is_missing(request: Request, refusal: Refusal) -> bool:
    return bool(request.about) and refusal.status == _NOT_FOUND


def make(
    http: Http,
    api_url: str,
    request: Request,
    *,
    headers: Mapping[str, str],
    timeout: float,
    meaning: Callable[[Arrived], Refusal],
) -> Arrived | Refusal:
    """Make the request and return what arrived, or what it means that none or another than a 2xx did."""
    url = api_url + request.path
    if request.body is not None:
        arrived = post(http, url, headers=headers, body=request.body, timeout=timeout)
    elif request.method == "GET":
        arrived = get(http, url, headers=headers, params=request.params, timeout=timeout)
    else:
        arrived = ask(http, request.method, url, headers=headers, timeout=timeout)
    if isinstance(arrived, Arrived):
        return arrived if arrived.success else meaning(arrived)
    return Refusal(arrived, getattr(arrived, "code", ""))


# --------------------------------------------------------------------------------------------------------- operations as data


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of an operation's results. `done` of `total` things are behind it; None where nobody can tell of how many."""

    items: Sequence[T]
    done: int = 0
    total: int | None = None


class Kind(StrEnum):
    """What a parameter is, for whoever reads it from a command line. A file's content is given, not its name."""

    TEXT = "text"
    NUMBER = "number"
    INSTANT = "instant"
    DAY = "day"
    WORDS = "words"
    PAIRS = "pairs"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    CONTACTS = "contacts"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation's function; `one_of` are the words it may be, none: any; `in_path`: it is part of the path."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    required: bool = False
    in_path: bool = False
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that an operator may ask for. `endpoint` is the documented one; `changes`: it leaves something behind."""

    name: str
    endpoint: str
    summary: str
    do: Callable[..., Any]
    parameters: tuple[Parameter, ...] = ()
    changes: bool = False


def each(pages: Iterator[Page[T]]) -> Iterator[T]:
    """Every item of all pages, read as it is asked for."""
    for page in pages:
        yield from page.items


_SEGMENT = re.compile(r"[A-Za-z0-9._~-]{1,200}")


def segment(name: str, value: str) -> str:
    """An id as a part of a path: it must not lead to another endpoint. Raises `TumaError` naming the parameter."""
    if not _SEGMENT.fullmatch(value) or value in {".", ".."}:
        message = f"{name}: is no id of the provider's (letters, digits, dots, dashes and underscores)"
        raise TumaError(message)
    return value
