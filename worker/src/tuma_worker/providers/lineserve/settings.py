"""What Lineserve needs to know of an account, and which accounts cannot work there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tuma_worker.providers.checks import check_inbound, check_webhook_secret, checked_base_url, checked_key
from tuma_worker.providers.lineserve.receipts import EVENTS

if TYPE_CHECKING:
    from pydantic import SecretStr

    from tuma_worker.providers.provider import Account

DEFAULT_BASE_URL = "https://api.lineserve.com/v1"

# Not documented, although a secret can be set: assumed.
SIGNATURE_HEADER = "X-Lineserve-Signature"


@dataclass(frozen=True, slots=True)
class LineserveSettings:
    """One Lineserve key. `timeout` is in seconds. No representation of it shows a secret."""

    base_url: str | None
    api_key: SecretStr
    environment: str
    timeout: float
    sender_id: str | None = None
    webhook_secret: SecretStr | None = None
    webhook_secret_old: SecretStr | None = None
    webhook_timestamp_header: str | None = None
    inbound_event: str | None = None
    signature_header: str = SIGNATURE_HEADER

    @classmethod
    def of(cls, account: Account) -> Self:
        """The settings of `account`, checked. Raises `ValueError` with one line."""
        settings = cls(
            base_url=account.base_url,
            api_key=account.api_key,
            environment=account.environment,
            timeout=account.timeout,
            sender_id=account.sender_id,
            webhook_secret=account.webhook_secret,
            webhook_secret_old=account.webhook_secret_old,
            webhook_timestamp_header=account.webhook_timestamp_header,
            inbound_event=account.inbound_event,
        )
        settings.check()
        return settings

    def check(self) -> None:
        """Raise `ValueError` with one line that names the setting, if no call can succeed with these."""
        self.api_url()
        checked_key(self.api_key)
        check_inbound(self.inbound_event, EVENTS)
        check_webhook_secret(self.webhook_secret)

    def api_url(self) -> str:
        """The address under which the endpoints lie."""
        return checked_base_url(self.base_url or DEFAULT_BASE_URL, production=not self.test_mode)

    @property
    def test_mode(self) -> bool:
        """Whether calls ask for no real delivery: Lineserve has no sandbox host but a header."""
        return self.environment == "sandbox"

    def headers(self) -> dict[str, str]:
        """What every call carries."""
        headers = {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}
        return headers | {"X-Test-Mode": "true"} if self.test_mode else headers
