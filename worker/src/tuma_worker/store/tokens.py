"""The API tokens as Redis holds them: by their digests, so that whoever reads the store can use none of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.keys import AUDIT, TOKENS
from tuma_producer.contract.scripts import load
from tuma_worker.core.tokens import PREFIX, Scope, Token, digest
from tuma_worker.store.clock import server_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

_SET = load(__package__, "set_tokens")


@dataclass(frozen=True, slots=True)
class Tokens:
    """All API tokens. `secret` gives a long random text that a URL may hold, another one each time."""

    redis: Redis
    secret: Callable[[], str]

    def add(
        self, name: str, source: str, scopes: Sequence[Scope], *, by: str, lifetime: float | None = None, rate: str | None = None
    ) -> str | None:
        """Make a token that holds for `lifetime` seconds, for ever where None. None where there is one of this name.

        `by` is who makes it; `rate` is how often it may ask, such as `50/s`; as often as it likes where None.
        """
        now = server_ms(self.redis)
        if self._named(name, now):
            return None
        expires = None if lifetime is None else now + round(lifetime * 1000)
        made, token = self._fresh(), Token(name, source, tuple(scopes), now, expires, rate)
        self._set((by, "added", name, "", str(token)), {digest(made): _packed(token)})
        return made

    def rotate(self, name: str, overlap: float, *, by: str) -> str | None:
        """Make another token of the same name; those before it hold for `overlap` seconds more. None where there is none."""
        now = server_ms(self.redis)
        before = self._named(name, now)
        if not before:
            return None
        newest = max(before.values(), key=lambda token: token.created)
        made, token = self._fresh(), replace(newest, created=now)
        until = now + round(overlap * 1000)
        # An end that is set already is not put off.
        ending = {key: _packed(replace(one, expires=min(one.expires or until, until))) for key, one in before.items()}
        act = (by, "rotated", name, str(newest), f"{token}, {overlap:g} s with the old one")
        self._set(act, ending | {digest(made): _packed(token)})
        return made

    def remove(self, name: str, *, by: str) -> bool:
        """Let the tokens of this name hold no longer. False where there is none."""
        found = self._named(name, server_ms(self.redis))
        if found:
            newest = max(found.values(), key=lambda token: token.created)
            self._set((by, "removed", name, str(newest), ""), dict.fromkeys(found, ""))
        return bool(found)

    def all(self) -> list[Token]:
        """Every token that holds, by name, the older one first. Those whose time is over are forgotten in passing."""
        now = server_ms(self.redis)
        known = self._read()
        over = [key for key, token in known.items() if not token.holds_at(now)]
        if over:
            self.redis.hdel(TOKENS, *over)
        return sorted((known[key] for key in known.keys() - over), key=lambda token: (token.name, token.created))

    def _fresh(self) -> str:
        return PREFIX + self.secret()

    def _set(self, act: tuple[str, str, str, str, str], tokens: Mapping[str, str]) -> None:
        """Run the script, whose head says what the arguments are."""
        _SET.run(self.redis, [TOKENS, AUDIT], [*act, *chain.from_iterable(tokens.items())])

    def _named(self, name: str, now: int) -> dict[str, Token]:
        return {key: token for key, token in self._read().items() if token.name == name and token.holds_at(now)}

    def _read(self) -> dict[str, Token]:
        raw = cast("dict[bytes, bytes]", self.redis.hgetall(TOKENS))
        return {key.decode(): _unpacked(packed) for key, packed in raw.items()}


async def find(redis: AsyncRedis, key: str) -> Token | None:
    """The token of this digest, whether its time is over or not; None where there is none."""
    packed = await cast("Any", redis.hget(TOKENS, key))
    return _unpacked(packed) if packed else None


def _packed(token: Token) -> str:
    return json.dumps(asdict(token))


def _unpacked(packed: bytes) -> Token:
    """A token as any release has written it: a scope that this one does not know gives no right."""
    known: dict[str, Any] = {name: value for name, value in json.loads(packed).items() if name in Token.__dataclass_fields__}
    return Token(**known | {"scopes": tuple(Scope(one) for one in known["scopes"] if one in set(Scope))})
