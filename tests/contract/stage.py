"""A provider's stand-in, and the way to its operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from tests.contract.conftest import LINESERVE_KEY, LISOLOO_KEY

from tuma_worker.providers import PROVIDERS
from tuma_worker.providers.http import Arrived, Http
from tuma_worker.providers.operations import NotDone, Request, each
from tuma_worker.settings import Account

if TYPE_CHECKING:
    from tests.contract.conftest import Receiver, Sandbox

    from tuma_worker.providers.operations import Caller

PLACES = {"lisoloo": ("/lisoloo", LISOLOO_KEY), "lineserve": ("/lineserve/v1", LINESERVE_KEY)}
NUMBER, OTHER = "+254711000001", "+254711000002"


@dataclass
class Stage:
    """One provider's stand-in, and the way to its operations."""

    provider: str
    caller: Caller
    sandbox: Sandbox
    receiver: Receiver

    def exchange(self, request: Request) -> Arrived:
        said = self.caller.call(request)
        if not isinstance(said, Arrived):
            raise NotDone(request, said)
        return said

    def do(self, name: str, /, **parameters: object) -> Any:  # noqa: ANN401 - as the operation answers
        return PROVIDERS[self.provider].operation(name).do(self.exchange, **parameters)

    def all(self, name: str, /, **parameters: object) -> list[Any]:
        return list(each(self.do(name, **parameters)))

    def send(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        """Send something beside the client, and return the answer."""
        ask = self.sandbox.lisoloo if self.provider == "lisoloo" else self.sandbox.lineserve
        answer = ask("POST", path, body)
        assert answer.is_success, answer.text
        return dict(answer.json())


def set_stage(
    sandbox: Sandbox,
    receiver: Receiver,
    http: Http,
    provider: str,
    **more: Any,  # noqa: ANN401 - fields of an account
) -> Stage:
    """The stage of this provider."""
    path, key = PLACES[provider]
    plain: dict[str, Any] = {"base_url": sandbox.url + path, "api_key": SecretStr(key), "environment": "sandbox", "timeout": 5}
    return Stage(provider, PROVIDERS[provider].caller(Account(provider=provider, **plain | more), http), sandbox, receiver)
