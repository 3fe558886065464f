"""The real clocks, dice, names and secrets: whoever needs one is given it, so that a test may give another."""

from __future__ import annotations

import os
import random
import secrets
import socket
import time


def wall_clock() -> float:
    """Unix seconds."""
    return time.time()


def fresh_name() -> str:
    """A name that nobody else has."""
    return secrets.token_hex(8)


def fresh_secret() -> str:
    """A long text that nobody can guess, and a URL may hold."""
    return secrets.token_urlsafe(32)


def process_name() -> str:
    """What this process is called among all that work on the same Redis."""
    return f"{socket.gethostname()}:{os.getpid()}"


def steady_clock() -> float:
    """Seconds that go on while the machine sleeps, where the system counts them: a lease does not wait for a suspended process."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def pause(seconds: float) -> None:
    """Let so many seconds pass."""
    time.sleep(seconds)


def up_to(most: float) -> float:
    """Any number from 0 to this one, each as likely as the others."""
    return random.SystemRandom().uniform(0, most)


def callback_secret() -> str:
    """What an attempt's own address ends with, which nobody can guess."""
    return secrets.token_urlsafe(18)
