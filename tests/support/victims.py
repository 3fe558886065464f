"""Workers that are to die, as `mortal` has it, each a process of its own with its Dramatiq master."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import wait

from dramatiq.cli import main as dramatiq
from tests.support import mortal
from tests.support.programs import PATIENCE

# Whatever a worker imports is there before it is forked: to import it takes longer than most of them live.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["__main__", __name__])
# How a process ended can be read once, and whoever starts another one reads it of all: two threads at once, and one reads nothing.
_READING = threading.Lock()


class Victim:
    """A worker with its fate in the environment."""

    def __init__(self, **environment: str) -> None:
        self._process = _PROCESSES.Process(target=_live, args=(environment,))
        with _READING:
            self._process.start()

    def ended(self) -> int | None:
        """How it ended; None where it lives on."""
        wait([self._process.sentinel], PATIENCE)
        with _READING:
            return self._process.exitcode

    def kill(self) -> None:
        """End it and its children at once."""
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.kill()
        wait([self._process.sentinel])
        with _READING:
            self._process.join()


def _live(environment: dict[str, str]) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for name in [name for name in os.environ if name.startswith("TUMA_")]:  # the developer's own
        del os.environ[name]
    os.environ.update(environment, TUMA_LOG_LEVEL="error")  # what it does is told by what it leaves behind
    multiprocessing.set_start_method("fork", force=True)  # or Dramatiq's master would import it all anew for its worker
    sys.argv = ["dramatiq", f"{mortal.__name__}:setup", "--skip-logging", "--processes", "1"]
    sys.exit(dramatiq())
