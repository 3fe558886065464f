"""What a producer may withdraw is what the service's table of states allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuma_producer.contract.control import ENDS, MOVES
from tuma_worker.core import states
from tuma_worker.core.states import RecipientState, may_move

if TYPE_CHECKING:
    from tuma_producer.results import Verb


def test_the_producer_knows_the_same_ends() -> None:
    assert frozenset(ENDS) == states.ENDS


@pytest.mark.parametrize("verb", MOVES)
def test_each_verb_moves_only_as_the_table_allows(verb: Verb) -> None:
    target, allowed = MOVES[verb]
    assert [origin for origin in allowed if not may_move(RecipientState(origin), RecipientState(target))] == []


def test_all_that_has_not_been_called_can_be_cancelled() -> None:
    target, allowed = MOVES["cancel"]
    waiting = {RecipientState.ACCEPTED, RecipientState.QUEUED}
    assert {RecipientState(origin) for origin in allowed} == waiting
    assert waiting <= states.origins(RecipientState(target))
