"""The producer's front door: what users import, and what other tools read from it."""

from __future__ import annotations

import inspect
import typing
from dataclasses import is_dataclass

import pytest
from pydantic import TypeAdapter

import tuma_producer

PUBLIC = [getattr(tuma_producer, name) for name in tuma_producer.__all__]


def test_all_names_exactly_what_the_package_shows() -> None:
    shown = {name for name, value in vars(tuma_producer).items() if not name.startswith("_") and not inspect.ismodule(value)}
    shown.discard("annotations")  # of `from __future__`
    assert set(tuma_producer.__all__) == shown
    assert list(tuma_producer.__all__) == sorted(tuma_producer.__all__)


def test_what_the_readme_imports_is_there() -> None:
    from tuma_producer import AsyncProducer, Event, Intent, Producer, Receipt, Send, TumaError  # noqa: PLC0415 - the import is the test

    send = Send(account="lisoloo-main", to=["+243990000001"], message="Code 493 201", priority="otp", expires_in=300)
    assert (send.priority, send.expires_in) == ("otp", 300)
    assert all(inspect.isclass(one) for one in (AsyncProducer, Event, Intent, Producer, Receipt, TumaError))


def test_every_error_has_one_root() -> None:
    errors = [one for one in PUBLIC if inspect.isclass(one) and issubclass(one, Exception)]
    assert len(errors) >= 6
    assert all(issubclass(error, tuma_producer.TumaError) for error in errors)


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_everything_public_says_what_it_is_for(kind: type) -> None:
    assert kind.__doc__
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        inherited = method.__qualname__.partition(".")[0] != kind.__name__
        assert name.startswith("_") or inherited or method.__doc__, name


@pytest.mark.parametrize("kind", [one for one in PUBLIC if is_dataclass(one)], ids=lambda kind: kind.__name__)
def test_frameworks_can_read_the_types_of_what_producers_are_told(kind: type) -> None:
    assert typing.get_type_hints(kind)
    assert TypeAdapter(kind).json_schema()["properties"]


def test_a_send_has_a_json_schema() -> None:
    schema = tuma_producer.Send.model_json_schema()
    assert set(schema["required"]) == {"account", "to"}
    assert schema["oneOf"] == [{"required": ["message"]}, {"required": ["template_id"]}]
