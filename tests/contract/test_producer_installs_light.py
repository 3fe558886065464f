"""The producer goes into other people's environments: what its wheel holds, what comes with it, and that it works there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PRODUCER = Path(__file__).parents[2] / "producer"

# redis, pydantic and time zones, and what these need themselves. The last two belong to every environment.
ALLOWED = {
    "tuma-producer",
    "redis",
    "hiredis",
    "async-timeout",
    "pydantic",
    "pydantic-core",
    "annotated-types",
    "typing-extensions",
    "typing-inspection",
    "tzdata",
    "pip",
    "setuptools",
}
HEAVY = ("dramatiq", "httpx", "starlette", "structlog", "typer", "rich", "tuma_worker")


def clean(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program that sees nothing of this environment's packages; how to reach the package index it is told as ever."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def succeed(*command: str | Path) -> str:
    done = clean(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with nothing in it but pip. Skips where there is no index to install from."""
    home = tmp_path_factory.mktemp("clean")
    succeed(sys.executable, "-m", "venv", home)
    python = home / "bin" / "python"
    reached = clean(python, "-m", "pip", "download", "--quiet", "--retries", "1", "--no-deps", "--dest", home / "probe", "redis")
    if reached.returncode != 0:
        pytest.skip("NO PACKAGE INDEX REACHABLE: whether the producer installs light was NOT tested")
    return python


@pytest.fixture(scope="module")
def wheel(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The producer's wheel, built from the sources here."""
    target = tmp_path_factory.mktemp("wheel")
    succeed(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, PRODUCER)
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(python: Path, wheel: Path) -> Path:
    """The Python of an environment into which the wheel was installed, with what it asks for."""
    succeed(python, "-m", "pip", "install", "--quiet", wheel)
    return python


def test_the_wheel_holds_the_package_with_its_scripts_and_types_and_nothing_else(wheel: Path) -> None:
    sources = PRODUCER / "src"
    expected = {
        str(path.relative_to(sources))
        for path in (sources / "tuma_producer").rglob("*")
        if path.suffix in {".py", ".lua"} or path.name == "py.typed"
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected
    assert "tuma_producer/contract/lua/enqueue.lua" in names


def test_with_it_come_redis_pydantic_time_zones_and_what_these_need(installed: Path) -> None:
    script = "import importlib.metadata as m, json; print(json.dumps([d.metadata['Name'] for d in m.distributions()]))"
    names = {name.lower().replace("_", "-") for name in json.loads(succeed(installed, "-I", "-c", script))}
    assert {"tuma-producer", "redis", "pydantic"} <= names
    assert names <= ALLOWED


def test_it_works_where_nothing_of_the_worker_is_installed(installed: Path) -> None:
    script = f"""
import importlib.util, sys
from tuma_producer import AsyncProducer, Producer, Send
from tuma_producer.contract import wire

request = wire.encode(Send(account="lisoloo-main", to="+243990000001", message="Hello"), "billing")
heavy = [name for name in {HEAVY!r} if importlib.util.find_spec(name)]
print(len(request.keys) > 0, Producer.from_url("redis://127.0.0.1/0") is not None, heavy)
"""
    assert succeed(installed, "-I", "-W", "error", "-c", script).split("\n")[0] == "True True []"


def test_importing_it_brings_in_no_event_loop_server_or_client_of_http(installed: Path) -> None:
    script = f"import sys, tuma_producer; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert succeed(installed, "-I", "-c", script).strip() == "[]"
