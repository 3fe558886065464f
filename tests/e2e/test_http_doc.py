"""docs/http.md is a session with curl: each of its lines runs, in its order, and says what is written under it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support import servers
from tests.support.houses import open_house
from tests.support.programs import PATIENCE

from tuma_worker.gateway.api import OPERATIONS
from tuma_worker.gateway.problems import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.houses import House

DOC = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
TOOLS = {name: shutil.which(name) for name in ("bash", "curl", "jq")}
END = "tuma-line-ended"


def session() -> list[tuple[str, list[str]]]:
    """Each command with what is written under it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", DOC, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


@pytest.fixture
def house() -> Iterator[House]:
    server = servers.start()
    with open_house(server, {"lisoloo-main": {"provider": "lisoloo"}}) as found:
        found.worker("lisoloo-main")
        yield found
    server.stop()


@pytest.mark.skipif(None in TOOLS.values(), reason=f"needs {', '.join(TOOLS)}")
def test_every_line_of_the_session_says_what_is_written_under_it(house: House, tmp_path: Path) -> None:
    lines = session()
    assert len(lines) > 20
    script = "".join(f"{line}\necho {END}\n" for line, _ in lines).replace(ADDRESS, house.gateway_url)
    environment = {**house.tuma.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [str(TOOLS["bash"]), "-u"]
    ran = subprocess.run(
        command, input=script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )
    said = ran.stdout.split(f"{END}\n")
    assert len(said) == len(lines) + 1, ran.stderr
    for (line, expected), got in zip(lines, said, strict=False):
        pattern = "\n".join(".*".join(map(re.escape, one.split("…"))) for one in expected)
        assert re.fullmatch(pattern, "\n".join(one.rstrip() for one in got.splitlines())), (line, got)
    assert ran.stderr == ""


def test_every_operation_and_every_problem_is_named_there() -> None:
    named = re.sub(r"\s+", " ", DOC)
    assert [kind.kind for kind in Kind if f"`{kind.kind}`" not in named] == []
    lasts = {one.path.rpartition("/")[2] for one in OPERATIONS if not one.path.endswith("}")}
    assert [last for last in lasts if last not in named] == []
