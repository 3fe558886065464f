"""Where OpenTelemetry is not wanted, or not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tuma_producer import TumaError
from tuma_producer.contract.tracing import carrying, current
from tuma_worker import tracing


def test_a_collector_without_opentelemetry_is_said_with_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda _name: None)
    tracing.check(None)
    with pytest.raises(TumaError, match=r"TUMA_OTLP_ENDPOINT: .*install tuma-worker\[otel\]"):
        tracing.check("http://127.0.0.1:4318")


def test_without_a_collector_no_exporter_is_loaded() -> None:
    program = (
        "import sys; from tuma_worker import actors; actors.tracing.configure(None, 'tuma-worker')\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.exporter')], actors.tracing.on())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[] False\n"


def test_a_producer_without_opentelemetry_traces_nothing() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from tuma_producer import Send; from tuma_producer.contract import tracing, wire\n"
        "send = Send(account='a', to='+243990000001', message='hello')\n"
        "with tracing.enqueueing(send): print(tracing.current() == '', 'traceparent' in str(wire.encode(send, 'b').args))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "True False\n"


TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (f"{TRACE}01", True), (f"{TRACE}00", False), (f"{TRACE}zz", False), (f"{TRACE}01-more", False), ("", False),
        (f"00-{'0' * 32}-0123456789abcdef-01", False), ('00-", "message": "other', False),
    ],
)  # fmt: skip
def test_only_a_sampled_trace_of_the_right_form_is_carried(given: str, kept: bool) -> None:  # noqa: FBT001 - of the table
    with carrying(given):
        assert current() == (given if kept else "")
    assert current() == ""
