"""What Lisoloo needs to know of an account, and which accounts cannot work there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tuma_worker.providers.checks import check_inbound, check_webhook_secret, checked_base_url, checked_key
from tuma_worker.providers.lisoloo.receipts import EVENTS

if TYPE_CHECKING:
    from pydantic import SecretStr

    from tuma_worker.providers.provider import Account

TIMEZONE = "Africa/Kinshasa"  # of a merchant who set no other; no endpoint tells it
API_PATH = "/api/v1/lisoloo/sms-api"

# A key of the one environment is answered with 401 by the other's base URL.
_KEY_PREFIXES = {"production": ("sk_test_", "sandbox"), "sandbox": ("sk_live_", "production")}


@dataclass(frozen=True, slots=True)
class LisolooSettings:
    """One Lisoloo key. `timeout` is in seconds. No representation of it shows a secret."""

    base_url: str | None
    api_key: SecretStr
    environment: str
    timeout: float
    timezone: str
    sender_id: str | None = None
    webhook_username: str | None = None
    webhook_password: SecretStr | None = None
    webhook_password_old: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    webhook_secret_old: SecretStr | None = None
    webhook_timestamp_header: str | None = None
    inbound_event: str | None = None

    @classmethod
    def of(cls, account: Account) -> Self:
        """The settings of `account`, checked. Raises `ValueError` with one line."""
        settings = cls(
            base_url=account.base_url,
            api_key=account.api_key,
            environment=account.environment,
            timeout=account.timeout,
            timezone=account.timezone or TIMEZONE,
            sender_id=account.sender_id,
            webhook_username=account.webhook_username,
            webhook_password=account.webhook_password,
            webhook_password_old=account.webhook_password_old,
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
        self._check_key_environment()
        if (self.webhook_username is None) != (self.webhook_password is None):
            message = "webhook_username and webhook_password: set both or neither"
            raise ValueError(message)

    def api_url(self) -> str:
        """The address under which the endpoints lie."""
        base_url = checked_base_url(self.base_url, production=self.environment == "production")
        if base_url.endswith(API_PATH):
            message = f"base_url: must end before {API_PATH}"
            raise ValueError(message)
        return base_url + API_PATH

    def headers(self) -> dict[str, str]:
        """What every call carries."""
        return {"app-key": self.api_key.get_secret_value()}

    def _check_key_environment(self) -> None:
        prefix, other = _KEY_PREFIXES.get(self.environment, ("", ""))
        if prefix and self.api_key.get_secret_value().startswith(prefix):
            message = f"api_key: an {prefix} key belongs to the {other} environment, but this account is marked {self.environment}"
            raise ValueError(message)
