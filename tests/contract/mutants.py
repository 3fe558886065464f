"""Bytes as strangers may send them: what is right, with some of it cut out and something worse put in.

More of it, and new ones each time: TUMA_TEST_LONG=1 .venv/bin/pytest tests/contract/test_foreign_*.py
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONG = bool(os.environ.get("TUMA_TEST_LONG"))

WORSE = (
    *(
        b"",
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\\ud800",
        b'"',
        b"\\",
        b"\r\n",
        b"\n\r\n",
        b",",
        b"{",
        b"}",
        b"]",
        b"null",
        b"true",
    ),
    *(b"NaN", b"-Infinity", b"-1", b"1.5", b"1e400", b"1e9999999999999999999999", b"9" * 30, b"9" * 5000),
    *(b"[" * 3000, b'{"a":' * 3000, b"a" * 70_000, b"=cmd()", b"+243990000001", "\u0661\u0662".encode(), "\U0001d7d9".encode()),
    *(b'"9999-12-31T23:59:59-23:59"', b'"0001-01-01T00:00:00+23:59"', b"Tue, 20 May 99999999999999999999 10:00:30 GMT"),
)
IN_JSON = re.compile(rb'"[^"]*"|[\w.+-]+')  # names as well as values; without a colon, which parts the two
IN_HEADERS = re.compile(rb"(?<=: )[^\r\n]+")
_profile = settings(
    deadline=None,
    derandomize=not LONG,
    database=None,
    phases=(Phase.explicit, Phase.generate, *((Phase.shrink,) if LONG else ())),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def examples(count: int) -> settings:
    """So many examples, always the same; a hundred times as many, and new ones, where TUMA_TEST_LONG is set."""
    return settings(_profile, max_examples=100 * count if LONG else count)


@st.composite
def mutants(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after up to three changes: a value in the place of another, or anything anywhere."""
    made = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()) and (values := list(IN_JSON.finditer(made))):
            begin, end = draw(st.sampled_from(values)).span()
        else:
            begin = draw(st.integers(0, len(made)))
            end = draw(st.integers(begin, min(len(made), begin + 40)))
        made = made[:begin] + draw(st.sampled_from(WORSE)) + made[end:]
    return made


def swaps(seed: bytes, values: re.Pattern[bytes] = IN_JSON) -> Iterator[bytes]:
    """Each value of the seed in turn, replaced by each of what is worse."""
    for value in values.finditer(seed):
        for worse in WORSE:
            yield seed[: value.start()] + worse + seed[value.end() :]
