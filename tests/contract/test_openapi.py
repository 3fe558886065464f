"""The descriptions that the sandbox serves, held against what it does: no 5xx, and no answer that they do not name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from tests.contract.conformance import CHECKS, quickly
from tests.contract.conftest import LINESERVE, LINESERVE_KEY, LISOLOO, LISOLOO_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import Case
    from tests.contract.conftest import Sandbox

FOLDER = Path(__file__).parents[2] / "worker" / "src" / "tuma_worker" / "sandbox" / "openapi"
LISOLOO_SCHEMA = schemathesis.openapi.from_path(FOLDER / "lisoloo.yaml")
LINESERVE_SCHEMA = schemathesis.openapi.from_path(FOLDER / "lineserve.yaml")
for _schema in (LISOLOO_SCHEMA, LINESERVE_SCHEMA):
    _schema.config.phases.coverage.enabled = False  # hundreds of requests for each endpoint: run by hand with `st run`

QUICKLY = quickly(6)
UNLIMITED: dict[str, Any] = {
    "lisoloo": {
        "limits": {bucket: [] for bucket in ("send", "status", "balance", "cancel", "pause", "resume")},
        "balance": 10**9,
    },
    "lineserve": {"limits": {"requests": [], "sms": []}},
}


@pytest.fixture(scope="module")
def unlimited(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    sandbox_process.reset()
    sandbox_process.config(**UNLIMITED)
    yield sandbox_process
    sandbox_process.reset()


@LISOLOO_SCHEMA.parametrize()
@QUICKLY
def test_lisoloo_answers_as_its_description_says(unlimited: Sandbox, case: Case[Any]) -> None:
    case.call_and_validate(base_url=unlimited.url + LISOLOO, headers={"app-key": LISOLOO_KEY}, checks=CHECKS)


@LINESERVE_SCHEMA.parametrize()
@QUICKLY
def test_lineserve_answers_as_its_description_says(unlimited: Sandbox, case: Case[Any]) -> None:
    headers = {"Authorization": f"Bearer {LINESERVE_KEY}"}
    case.call_and_validate(base_url=unlimited.url + LINESERVE, headers=headers, checks=CHECKS)


@pytest.mark.parametrize("provider", ["lisoloo", "lineserve"])
def test_the_description_is_served_without_a_key(sandbox: Sandbox, provider: str) -> None:
    base = {"lisoloo": LISOLOO, "lineserve": LINESERVE}[provider]
    for path in (f"/{provider}/openapi.yaml", f"{base}/openapi.yaml"):
        answer = sandbox.http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/yaml")
        assert answer.text == (FOLDER / f"{provider}.yaml").read_text(encoding="utf-8")
