"""The actors: doormen between Dramatiq and the rooms where the work is done.

An actor is called with the id of a claimed batch. Returning means that the batch is settled or may be let go of; an exception is
treated like the death of the worker, by what was written down before it. So none of them is ever retried by Dramatiq.
"""

from __future__ import annotations

import signal
import threading
from functools import partial
from typing import TYPE_CHECKING

import dramatiq

from tuma_producer.contract.connection import connect, connect_for_threads, connect_once, connect_to_wait
from tuma_worker import health, logs, tracing
from tuma_worker.bootstrap import configured, parts
from tuma_worker.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from tuma_worker.queue.broker import TumaBroker
    from tuma_worker.queue.leases import Held
    from tuma_worker.settings import Settings


def declare(service: parts.Service) -> None:
    """Declare the actors on the service's broker. Every queue of the broker may call every one of them."""
    broker = service.broker
    home = min(broker.get_declared_queues())
    singly = {
        "resolve": service.resolver.resolve,
        "trace": service.resolver.trace,
        "probe": service.prober.probe,
        "expire": service.sender.expire,
        "fire": service.firer.fire,
        "steer": service.steerer.steer,
        "look": service.steerer.look,
        "abandon": service.steerer.abandon,
        "quiet": service.sender.hush,
        "park": service.sender.park,
        "overweight": service.sender.refuse,
    }
    doormen = {name: _doorman(broker, work) for name, work in singly.items()}
    doormen["send"] = lambda batch_id: broker.work_off(batch_id, service.sender.send)
    for name, doorman in doormen.items():
        # No time limit: a call has its own, and an answer must outlast any outage of Redis until it is written down.
        dramatiq.actor(broker=broker, actor_name=name, queue_name=home, max_retries=0, time_limit=float("inf"))(doorman)


def _doorman(broker: TumaBroker, work: Callable[[Held], None]) -> Callable[[str], None]:
    """Lets a batch that this process holds in to its work."""

    def admit(batch_id: str) -> None:
        work(broker.held(batch_id))

    return admit


def setup() -> None:
    """Make this process a worker: called by `dramatiq tuma_worker.actors:setup`."""
    settings = load_settings()
    logs.configure(settings.log_level, settings.log_format)
    tracing.configure(settings.otlp_endpoint, "tuma-worker")
    service = parts.build_service(settings)
    service.broker.add_middleware(_Flush())
    declare(service)
    if settings.metrics_port != 0:
        _expose(service.broker)
    for name, duty in _duties(settings, service.broker):
        _in_background(name, partial(duty, threading.Event()))
    if settings.ops_port != 0:
        _answer_probes(settings, service.broker)
    leaving = threading.Event()
    applier = parts.build_applier(connect(settings.redis_url), settings)
    pusher = parts.build_pusher(connect_once(settings.redis_url), settings)
    _in_background("apply", partial(applier.keep_applying, leaving))
    _in_background("push", partial(pusher.keep_pushing, leaving))
    dramatiq.set_broker(service.broker)
    _leave_at(signal.SIGTERM, leaving.set, service.broker.stop_claiming, applier.leave, pusher.leave)


def _duties(settings: Settings, broker: TumaBroker) -> list[tuple[str, Callable[[threading.Event], None]]]:
    """What a worker does beside its calls for as long as it runs, by the names of the threads."""
    url = settings.redis_url
    return [
        ("register", partial(configured.keep_registered, connect(url), settings)),
        ("sweep", parts.build_sweeper(connect(url), settings).keep_sweeping),
        ("move", parts.build_mover(connect(url), settings).keep_moving),
        ("gauge", parts.build_gauger(connect(url), settings, broker).keep_gauging),
        ("upkeep", parts.build_upkeep(connect(url), settings).keep_up),
        *(("poll", poller.keep_polling) for poller in parts.build_pollers(connect_for_threads(url), settings)),
        *(("reckon", reckoner.keep_reckoning) for reckoner in parts.build_reckoners(connect_for_threads(url), settings)),
    ]


class _Flush(dramatiq.Middleware):
    """Sends the last spans when the last call has ended: Dramatiq's processes do not end by way of `atexit`."""

    def after_worker_shutdown(self, _broker: dramatiq.Broker, _worker: dramatiq.Worker) -> None:
        tracing.flush()


def _answer_probes(settings: Settings, broker: TumaBroker) -> None:
    # It asks once: whoever probes has stopped waiting by the time that a second try has failed.
    asked = parts.build_probe_answers(connect_to_wait(settings.redis_url, 0), settings, broker)
    answers = {"livez": asked.alive, "startupz": asked.started, "readyz": asked.ready, "scaling": asked.scaling}
    health.serve(settings.ops_host, settings.ops_port, answers)


def _expose(broker: TumaBroker) -> None:
    """Count Dramatiq's own measures as well, and let its master show all of them over HTTP."""
    # Its import makes the folder that `tuma worker` has named.
    from dramatiq.middleware.prometheus import Prometheus  # noqa: PLC0415 - see above

    broker.add_middleware(Prometheus())


def _in_background(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=f"tuma-{name}", daemon=True).start()


def _leave_at(signum: signal.Signals, *leave: Callable[[], None]) -> None:
    """Begin nothing from the signal on. Dramatiq's own handler, which this one calls, is looked at only once a second."""
    handler = signal.getsignal(signum)

    def stop(received: int, frame: FrameType | None) -> None:
        # Not in the handler itself: it interrupts whatever the main thread does, perhaps with a lock in hand.
        for one in leave:
            _in_background("leave", one)
        if callable(handler):
            handler(received, frame)

    signal.signal(signum, stop)
