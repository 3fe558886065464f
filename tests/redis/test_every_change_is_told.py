"""Whatever script changes the state of a recipient or an intent tells so in the same step: the events alone say how all stand."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis.client import Pipeline
from tests.redis.acts import ACTS, scripts
from tests.redis.driver import Driver, begun, number, queue_of
from tests.redis.keeping import Keeping
from tests.support.producers import events, texts

from tuma_producer import At, Producer
from tuma_producer.contract.scripts import Script, load
from tuma_worker.core.states import ENDS, RecipientState

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    Act = Callable[[Driver], None]

NAMES = {load(package, name): name for package, name in scripts()}
# What is defined in a part and called beside it; and how an intent stands with the provider that keeps its dates.
MOVING = {name for script, name in NAMES.items() if script.source.count("move_all(") > 1 or "MOVING[" in script.source}
FORGETTING = ("age", "forget")  # they take out what was told together with whom it was told of
STEERED = ("paused", "resumed", "cancelled")
KEY = re.compile(r"tuma:\{(.+)\}:intent:(.+)")


def _suppressed(driver: Driver) -> None:
    """One that is on the list ends as it is accepted: alone, at a firing, and where the provider is to keep the dates."""
    assert Producer(driver.redis).suppress(driver.queue.account, number(1)) == 1
    driver.enqueue(number(0), number(1))
    soon = datetime.fromtimestamp(driver.server_ms() / 1000 + 0.05, UTC)
    driver.enqueue(number(0), number(1), schedule=At(times=[soon, soon + timedelta(days=1)]))
    driver.until(driver.server_ms() + 60)
    driver.fire_all()
    Keeping(driver.redis, driver.queue).kept_by_provider(number(0), number(1))


def _asked_meanwhile(driver: Driver) -> None:
    """A verb that was asked for during the hand-over is begun with after it."""
    keeping = Keeping(driver.redis, driver.queue)
    intent = keeping.kept_by_provider(number(0))
    batch = begun(keeping)
    keeping.ask("cancel", intent)
    keeping.custodies.keep(batch.batch_id, driver.server_ms() + 86_400_000)
    assert keeping.settle(batch)
    kept = keeping.custodies.load(intent)
    assert kept is not None
    assert keeping.custodies.take_up(kept)


def _acts() -> list[tuple[str, Act, set[str]]]:
    """Each act once, by one of its scripts, with those of them that change states."""
    by_act = defaultdict[Any, list[str]](list)
    for name, act in ACTS.items():
        by_act[act].append(name)
    acts = [(names[0], act, MOVING.intersection(names)) for act, names in by_act.items() if not set(FORGETTING) & set(names)]
    more: list[tuple[str, Act, set[str]]] = [
        ("suppressed", _suppressed, {"enqueue", "fire", "hand_over"}),  # they change the states of whoever is on the list alone
        ("asked-meanwhile", _asked_meanwhile, {"take_up"}),
    ]
    elsewhere = set().union(*(moving for _, _, moving in more))
    return [*((name, act, moving - elsewhere) for name, act, moving in acts), *more]


class Watch:
    """Reads after each script whether the events say what the records say."""

    def __init__(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        self.redis = redis
        self.moved = set[str]()  # the scripts after which a change was told
        self._told = 0
        self._staged: list[Script] = []
        run, stage = Script.run, Script.stage
        execute: Any = Pipeline.execute

        def watched_run(script: Script, *told: Any) -> Any:  # noqa: ANN401 - as the real one's
            reply = run(script, *told)
            self.look([script])
            return reply

        def watched_stage(script: Script, *told: Any) -> None:  # noqa: ANN401 - as the real one's
            self._staged.append(script)
            stage(script, *told)

        def watched_execute(pipeline: Any, *told: Any, **more: Any) -> Any:  # noqa: ANN401 - as the real one's
            staged, self._staged = self._staged, []
            reply = execute(pipeline, *told, **more)
            self.look(staged)
            return reply

        monkeypatch.setattr(Script, "run", watched_run)
        monkeypatch.setattr(Script, "stage", watched_stage)
        monkeypatch.setattr(Pipeline, "execute", watched_execute)

    def look(self, ran: list[Script]) -> None:
        """See that all stand as was told; these have just run."""
        told = 0
        for raw in self.redis.scan_iter(match="tuma:{*}:intent:*"):
            found = KEY.fullmatch(raw.decode())
            assert found is not None
            record = texts(self.redis.hgetall(raw))
            if "at" in record:  # not yet where an intent was withdrawn before it came
                story = [event for event in events(self.redis, found[1]) if event.get("i") == found[2]]
                told += check(record, story)
        if told > self._told:
            self.moved |= {NAMES[script] for script in ran}
        self._told = told


def check(record: dict[str, str], story: list[dict[str, str]]) -> int:
    """See that an intent and its recipients stand as its events say. Returns how many changes these tell of."""
    assert [int(event["q"]) for event in story] == list(range(1, int(record["seq"]) + 1)), "an event is missing or there twice"
    of_all = [event["e"] for event in story if "r" not in event]
    stands = {name: packed.partition("|")[0] for name, packed in record.items() if name.startswith("+")}
    moves = [(event["r"], event["e"]) for event in story if event.get("r") and event["e"] in set(RecipientState)]
    told = dict.fromkeys(stands, "queued")
    if [event["e"] for event in story[1:2]] == ["paused"]:  # as it arrived, unless it is told of them that they were stopped
        told = {recipient: "queued" if (recipient, "accepted") in moves else "accepted" for recipient in stands}
    for recipient, state in moves:
        assert told[recipient] != state, "a change is told that is none"
        told[recipient] = state
    assert stands == told
    if stands:
        still_open = [state for state in stands.values() if state not in ENDS]
        assert int(record["open"]) == len(still_open)
        assert ("done" in of_all) == (not still_open)
    custody = [kind.removeprefix("custody-") for kind in of_all if kind.startswith("custody-") and kind != "custody-asked"]
    steered = [kind for kind in of_all if kind in STEERED]
    if "custody" in record:
        assert record["custody"] == (custody or ["handing-over"])[-1]
    else:
        assert record.get("held", "resumed") == (steered or ["resumed"])[-1]
    return len(moves) + len(custody) + len(steered)


@pytest.mark.parametrize(("act", "moving"), [pytest.param(act, moving, id=name) for name, act, moving in _acts()])
def test_whatever_script_runs_the_events_say_how_everybody_stands(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, act: Act, moving: set[str]
) -> None:
    driver = Driver(redis, queue_of())
    watch = Watch(redis, monkeypatch)
    act(driver)
    assert moving <= watch.moved, "the act does not show what these scripts change"


def test_no_script_that_changes_states_is_left_out() -> None:
    assert set().union(*(moving for _, _, moving in _acts())) == MOVING
