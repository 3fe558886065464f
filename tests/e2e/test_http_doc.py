"""docs/http.md and the tutorial are sessions: each of their lines runs, in its order, and says what is written under it.

And the samples in other languages send.
"""

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
from tests.support.api import new_token
from tests.support.houses import open_house
from tests.support.programs import PATIENCE

from tuma_worker.gateway.api import OPERATIONS
from tuma_worker.gateway.problems import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.houses import House

DOCS = Path(__file__).parents[2] / "docs"
DOC = (DOCS / "http.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
TOOLS = {name: shutil.which(name) for name in ("bash", "curl", "jq")}
SAMPLES = {"js": ("node", "send.mjs"), "go": ("go", "run", "send.go"), "php": ("php", "send.php")}
END = "tuma-line-ended"


def session(page: str) -> list[tuple[str, list[str]]]:
    """Each command with what is written under it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    server = servers.start()
    with open_house(server, {"lisoloo-main": {"provider": "lisoloo"}}) as found:
        found.worker("lisoloo-main")
        yield found
    server.stop()


@pytest.mark.skipif(None in TOOLS.values(), reason=f"needs {', '.join(TOOLS)}")
@pytest.mark.parametrize(("page", "least"), [("tutorial.md", 8), ("http.md", 20)])  # in this order: the second leaves more behind
def test_every_line_of_the_session_says_what_is_written_under_it(house: House, tmp_path: Path, page: str, least: int) -> None:
    lines = session(page)
    assert len(lines) >= least
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


@pytest.mark.parametrize("language", SAMPLES)
def test_a_sample_sends_once_however_often_it_runs(house: House, tmp_path: Path, language: str) -> None:
    program, *words = SAMPLES[language]
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    (sample,) = re.findall(rf"```{language}\n(.*?)```", (DOCS / "other-languages.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / words[-1]).write_text(sample, encoding="utf-8")
    shop = f"shop-{language}"
    environment = {**os.environ, "TUMA": house.gateway_url, "TOKEN": new_token(house, shop, "send", source=shop)}
    said = []
    for _ in range(2):
        ran = subprocess.run(
            [program, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        said.append(ran.stdout.split())
    assert [words[1] for words in said] == ["accepted", "again"]
    assert said[0][0] == said[1][0]


def test_every_operation_and_every_problem_is_named_there() -> None:
    named = re.sub(r"\s+", " ", DOC)
    assert [kind.kind for kind in Kind if f"`{kind.kind}`" not in named] == []
    lasts = {one.path.rpartition("/")[2] for one in OPERATIONS if not one.path.endswith("}")}
    assert [last for last in lasts if last not in named] == []
