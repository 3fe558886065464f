"""The two distributions are of one release: a worker reads and writes what the producer's private contract says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tuma_worker import __version__

ROOT = Path(__file__).parents[2]


def _project(distribution: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / distribution / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def test_a_worker_takes_the_producer_of_its_own_release_and_no_other() -> None:
    assert _project("producer")["version"] == __version__
    assert f"tuma-producer=={__version__}" in _project("worker")["dependencies"]
