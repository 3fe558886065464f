"""The short version of `make chaos`: twenty seconds of everything that can go wrong, with the same dice each time."""

from __future__ import annotations

from tests.chaos import weather
from tests.chaos.scenarios import scenarios

SEED = 7


def test_in_any_weather_nothing_is_lost_doubled_or_over_a_limit_and_everything_ends() -> None:
    found = weather.run(scenarios()["weather"], 20, SEED)
    assert weather.broken(found) == {}, found
    assert found["kills"] > 0
    assert found["harms"] == 1
    assert found["ledger"]["rate_limited"] > 0
    assert found["states"]["delivered"] > 0
