"""Drains the bare line of a server, as one of several processes: `python -m tests.bench.support.bare_drain REDIS_URL NAME`.

It says `ready`, begins when a token comes on the list `bare:{bench}:go`, and says how many items it took, and when it
began and ended.
"""

from __future__ import annotations

import json
import sys
import time

from redis import Redis
from tests.bench.support.bare_writes import BareQueue

GO = "bare:{bench}:go"


def main() -> None:
    """Wait, drain, tell."""
    redis = Redis.from_url(sys.argv[1], socket_timeout=None)
    queue = BareQueue(redis)
    queue.load()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    redis.blpop([GO], timeout=0)
    began = time.time()
    items = queue.drain(sys.argv[2])
    sys.stdout.write(json.dumps({"items": items, "began": began, "ended": time.time()}) + "\n")


if __name__ == "__main__":
    main()
