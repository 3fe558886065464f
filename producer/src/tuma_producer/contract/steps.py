"""Steps that ask Redis for something and go on with the replies: written once, and carried out by either producer.

A generator gives what it asks for, is sent the replies in the same order, and returns its answer.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from tuma_producer.contract.scripts import ScriptCall

Answer = TypeVar("Answer")

Command = tuple[str, ...]
ReadSteps = Generator[list[Command], list[Any], Answer]  # asks by commands that change nothing
ActSteps = Generator[list[ScriptCall], list[Any], Answer]  # asks for calls of scripts
