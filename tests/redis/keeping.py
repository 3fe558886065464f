"""An account whose provider keeps dates, driven by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from tests.redis.driver import Driver, number, queue_of

from tuma_producer import At, Producer
from tuma_producer.contract.custody import Terms
from tuma_worker.core.custody import Conclusion, Custody, Result
from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.store import accounts
from tuma_worker.store.custody import Custodies, tally_request

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer import CampaignResult, ControlResult, Intent
    from tuma_producer.results import Verb
    from tuma_worker.store.custody import Kept

TERMS = Terms(tz="Africa/Kinshasa", lead=120_000, dates=20, dispatches=1000, recipients=1000)
CONTROL, STATUS = queue_of(operation="control"), queue_of(operation="status")


class Keeping(Driver):
    """A driver of an account whose provider keeps dates, and of the queues of its verbs and looks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        publish(self.redis, TERMS.published)

    @property
    def custodies(self) -> Custodies:
        return Custodies(self.redis, self.queue.account)

    def kept_by_provider(self, *to: str, days: tuple[float, ...] = (1, 2), **more: Any) -> str:  # noqa: ANN401 - fields of Send
        return self.enqueue(*(to or [number(0)]), schedule=dates(*days), custody="provider", **more)

    def handed_over(self, *to: str, days: tuple[float, ...] = (1, 2), **more: Any) -> str:  # noqa: ANN401 - fields of Send
        intent = self.kept_by_provider(*to, days=days, **more)
        batch = self.taken()
        assert self.begin(batch) is not None
        self.custodies.keep(batch.batch_id, int((datetime.now(UTC) + timedelta(days=max(days))).timestamp() * 1000))
        assert self.settle(batch)
        assert self.custody(intent) == "handed-over"
        return intent

    def custody(self, intent: str) -> str:
        return cast("bytes", self.redis.hget(self.account.intent(intent), "custody")).decode()

    def ask(self, verb: Verb, intent: str) -> ControlResult:
        result: ControlResult = getattr(Producer(self.redis), verb)(f"{self.queue.account}.{intent}")
        return result

    def ask_campaign(self, verb: Verb) -> CampaignResult:
        result: CampaignResult = getattr(Producer(self.redis), f"{verb}_campaign")(self.queue.account, "spring")
        return result

    def get(self, intent: str) -> Intent:
        return Producer(self.redis).get(f"{self.queue.account}.{intent}")

    def kept(self, intent: str) -> Kept:
        found = self.custodies.load(intent)
        assert found is not None
        return found

    def conclude(
        self, intent: str, custody: Custody, result: Result = Result.DONE, of: int | None = None, skipped: int = 0
    ) -> bool:  # fmt: skip
        return self.custodies.conclude(
            self.kept(intent), Conclusion(custody, result), of=of, skipped=skipped, shows_pauses=custody is Custody.PAUSED
        )

    def receipt(self, intent: str, to: str, state: RecipientState, event_id: str, *, batch: str | None = None) -> int:
        (batch_id,) = cast("bytes", self.redis.hget(self.account.intent(intent), "attempts")).decode().split()
        evidence = Evidence.HANDSET if state is RecipientState.DELIVERED else Evidence.OPERATOR
        receipt = Receipt("sms", "provider-1", to, state, evidence, event_id=event_id)
        return int(tally_request(self.account, batch or batch_id, intent, receipt).run(self.redis))

    def story(self, intent: str) -> list[str]:
        events = [event for event in self.events() if event.get("i") == intent]
        assert [int(event["q"]) for event in events] == list(range(1, len(events) + 1))
        return [event["e"] for event in events]


def publish(redis: Redis, keeps: str) -> None:
    queue = queue_of()
    accounts.register(redis, queue.account, provider="lisoloo", environment="sandbox", queue=queue.for_claim, keeps=keeps)


def dates(*days: float) -> At:
    return At(times=[(datetime.now(UTC) + timedelta(days=one)).replace(second=0, microsecond=0) for one in days])


def jobs(redis: Redis, operation: str) -> list[str]:
    """The subjects of the jobs that wait in a queue."""
    keys = queue_of(operation=operation).keys
    found = cast("Any", redis.zrange(keys.entries, 0, -1)) + cast("Any", redis.zrange(keys.due, 0, -1))
    return [member.decode().rpartition("|")[2] for member in found]
