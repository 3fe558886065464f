"""Which ends are dead letters, over every state, evidence and reason."""

from __future__ import annotations

from itertools import product

import pytest

from tuma_worker.core.dead import OVER_LIMIT, WORKER_DIED, DeadClass, dead_class
from tuma_worker.core.states import Evidence, RecipientState

R, E, D = RecipientState, Evidence, DeadClass
REASONS = ("", "503", WORKER_DIED, OVER_LIMIT)
OURS = (E.PROVIDER, E.INFERRED, E.ASSUMED)

LETTERS = (
    {(R.UNKNOWN, evidence, reason): D.UNKNOWN for evidence, reason in product(E, REASONS)}
    | {(R.FAILED, evidence, reason): D.EXHAUSTED for evidence, reason in product(OURS, REASONS)}
    | {(R.REJECTED, evidence, reason): D.REJECTED for evidence, reason in product((E.PROVIDER, E.ASSUMED), REASONS)}
    | {(R.FAILED, E.INFERRED, WORKER_DIED): D.WORKER_DIED, (R.REJECTED, E.INFERRED, OVER_LIMIT): D.OVER_LIMIT}
)


@pytest.mark.parametrize(("state", "evidence", "reason"), list(product(R, E, REASONS)))
def test_the_class_of_every_state_evidence_and_reason(state: RecipientState, evidence: Evidence, reason: str) -> None:
    assert dead_class(state, evidence, reason) is LETTERS.get((state, evidence, reason))


@pytest.mark.parametrize("state", [R.FAILED, R.UNDELIVERED, R.REJECTED])
def test_what_the_operator_or_the_handset_reported_is_no_dead_letter(state: RecipientState) -> None:
    assert {dead_class(state, evidence, "1") for evidence in (E.OPERATOR, E.HANDSET)} == {None}
