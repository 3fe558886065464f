"""How fast each token may ask. Every gateway process counts for itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuma_worker.core.limits import Limit
from tuma_worker.core.rates import spend
from tuma_worker.gateway.problems import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuma_worker.core.tokens import Token


class Rates:
    """What tokens have asked for. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}  # by a token's name: as many as there are tokens

    def admit(self, token: Token) -> None:
        """Count a request. Raises `Problem` where it comes too soon, and does not count it."""
        due, wait = self._spend(token, 1)
        if wait > 0:
            message = f"the token {token.name} may ask {token.rate}; come again later"
            raise Problem(Kind.TOO_FAST, message, headers={"Retry-After": str(math.ceil(wait))})
        self._due[token.name] = due

    def pace(self, token: Token, cost: int) -> float:
        """Count so much more of a request that goes on, and return for how many seconds it is to wait."""
        self._due[token.name], wait = self._spend(token, cost)
        return wait

    def _spend(self, token: Token, cost: int) -> tuple[float, float]:
        if token.rate is None:
            return 0.0, 0.0
        return spend(self._due.get(token.name, 0.0), self._clock(), cost, Limit.parse(token.rate))
