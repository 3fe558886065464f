from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
import textwrap
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from tuma_worker import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NUMBER = "+243990000001"
LIVE_KEY = "sk_live_" + "a1B2" * 6
API_TOKEN = "tuma_" + "a-_" * 14 + "Z"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Give the JSON lines written to stderr, and put back afterwards what `configure` changes."""
    root = logging.getLogger()
    before = (root.level, sys.excepthook, threading.excepthook)
    quiet = {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    with warnings.catch_warnings():
        yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, logs._Stderr)]
    root.level, sys.excepthook, threading.excepthook = before
    for name, level in quiet.items():
        logging.getLogger(name).setLevel(level)


def redacted(**fields: object) -> dict[str, Any]:
    return dict(logs.redact(None, "info", dict(fields)))


# --------------------------------------------------------------------------------------------------------------- the pipe


def test_an_event_is_one_json_line_with_its_time_level_logger_and_fields(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("info", "json")
    structlog.get_logger("tuma.test").info(logs.Event.DELIVERY_SETTLED, account="lisoloo-main", batch=3)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "delivery.settled",
        "level": "info",
        "logger": "tuma.test",
        "account": "lisoloo-main",
        "batch": 3,
    }


def test_a_librarys_line_takes_the_same_pipe(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("info", "json")
    logging.getLogger("dramatiq.worker").warning("took %d from %s", 3, "the queue")
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == ("took 3 from the queue", "warning", "dramatiq.worker")


@pytest.mark.parametrize("name", ["uvicorn.access", "uvicorn", "dramatiq"])
def test_handlers_that_a_library_brought_are_taken_away(lines: Callable[[], list[dict[str, Any]]], name: str) -> None:
    library = logging.getLogger(name)
    library.addHandler(logging.StreamHandler(sys.stderr))
    library.propagate = False
    logs.configure("info", "json")
    library.warning("hello")
    assert [line["event"] for line in lines()] == ["hello"]


def test_lines_under_the_level_are_not_written(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("warning", "json")
    structlog.get_logger("tuma.test").info("quiet")
    logging.getLogger("other").info("quiet")
    structlog.get_logger("tuma.test").warning("loud")
    assert [line["event"] for line in lines()] == ["loud"]


def test_httpx_does_not_write_a_line_for_each_request(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("info", "json")
    logging.getLogger("httpx").info("HTTP Request: GET https://sms.example")
    assert lines() == []


def test_ids_that_were_bound_at_the_entrance_are_on_every_line(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("info", "json")
    with structlog.contextvars.bound_contextvars(intent="01J"):
        structlog.get_logger("tuma.test").info("ours")
        logging.getLogger("other").info("theirs")
    assert [line["intent"] for line in lines()] == ["01J", "01J"]


def test_configuring_twice_does_not_write_twice(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("info", "json")
    logs.configure("info", "json")
    logging.getLogger("other").info("once")
    assert len(lines()) == 1


PROGRAM = textwrap.dedent("""
    import structlog
    from tuma_worker import logs

    logs.configure("info", "auto")
    structlog.get_logger("tuma").info(logs.Event.GATEWAY_STARTED, threads=8)
""")


def test_auto_writes_json_where_stderr_is_no_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(done.stderr)["event"] == "gateway.started"
    assert done.stdout == ""


def test_auto_writes_for_people_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=theirs, check=True, timeout=30)
    os.close(theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert "gateway.started" in shown
    assert not shown.startswith("{")


# -------------------------------------------------------------------------------------------------- what must not be seen


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"to {NUMBER} now", "to +243…01 now"),
        (f"to {NUMBER} 3 times", "to +243…01 3 times"),
        ("to +243 99 000 0001.", "to +243…01."),
        ("to +243-99-000-0001", "to +243…01"),
        ("GET /sms?to=%2B243990000001&x=1", "GET /sms?to=+243…01&x=1"),
        ("+12345678", "+123…78"),
        ("+123456789012345", "+123…45"),
        (f"key {LIVE_KEY}!", "key sk_live_[redacted]!"),
        (f"token {API_TOKEN}!", "token tuma_[redacted]!"),
        ("key sk_test_abc", "key sk_test_[redacted]"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
        ("basic: Basic dXNlcjpwYXNz==", "basic: Basic [redacted]"),
        ('"POST /receipts/lisoloo-main/hG7-tok_en HTTP/1.1"', '"POST /receipts/[redacted] HTTP/1.1"'),
        ("https://tuma.example/receipts/a/b?c=d", "https://tuma.example/receipts/[redacted]?c=d"),
        ("redis://user:pw@cache:6379/0", "redis://[redacted]@cache:6379/0"),
        ('body {"message": "Code 493 \\"201\\"", "n": 1}', 'body {"message": [redacted], "n": 1}'),
        ("Send(message='Code 493', n=1)", "Send(message=[redacted], n=1)"),
        ("{'api-key': 'abc'}", "{'api-key': [redacted]}"),
    ],
)
def test_a_number_key_or_token_inside_a_text_is_masked(text: str, shown: str) -> None:
    assert redacted(event=text)["event"] == shown


@pytest.mark.parametrize(
    "text",
    ["+1234567", "+1234567890123456", "12345678901", "2026-11-22T13:47:26+02:00", "1+1=2", "a basic test", "delivery.settled"],
)
def test_what_is_no_number_key_or_token_stays(text: str) -> None:
    assert redacted(event=text)["event"] == text


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "API-Key",
        "app-key",
        "message",
        "to",
        "text",
        "password",
        "webhook_password",
        "webhook_secret",
        "token",
        "Authorization",
    ],
)
@pytest.mark.parametrize("value", ["hidden", ["hidden"], {"a": "hidden"}, 493201, b"hidden"])
def test_a_secret_field_is_hidden_whatever_it_holds(name: str, value: object) -> None:
    assert redacted(**{name: value}) == {name: "[redacted]"}
    assert redacted(body={"deep": [{name: value}]}) == {"body": {"deep": [{name: "[redacted]"}]}}


def test_numbers_are_masked_in_lists_tables_their_keys_and_other_objects() -> None:
    shown = redacted(a=[NUMBER], b={NUMBER: (NUMBER,)}, c=ValueError(NUMBER), d=NUMBER.encode(), e={NUMBER})
    assert shown == {
        "a": ["+243…01"],
        "b": {"+243…01": ["+243…01"]},
        "c": "ValueError('+243…01')",
        "d": "b'+243…01'",
        "e": ["+243…01"],
    }


def test_plain_values_stay_as_they_are() -> None:
    assert redacted(n=1, share=0.5, ok=True, none=None, to=None) == {"n": 1, "share": 0.5, "ok": True, "none": None, "to": None}


def test_a_phone_number_is_shown_by_its_start_and_end() -> None:
    assert logs.mask_number("+243 99 000 0012") == "+243…12"


def fail() -> None:
    message = f"refused {NUMBER} with {LIVE_KEY} at /receipts/main/tok3n for message='Code 493'"
    raise RuntimeError(message)


def assert_clean(text: str) -> None:
    assert "refused" in text
    for secret in (NUMBER, NUMBER[1:], LIVE_KEY, "tok3n", "Code 493"):
        assert secret not in text


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("logger", [logging.getLogger("library"), structlog.get_logger("ours")])
def test_the_text_of_an_exception_shows_no_secret(
    lines: Callable[[], list[dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
    style: Any,  # noqa: ANN401 - the literal of `configure`
    logger: Any,  # noqa: ANN401 - either kind of logger
) -> None:
    del lines
    logs.configure("info", style)
    try:
        fail()
    except RuntimeError:
        logger.exception("failed")
    written = capsys.readouterr().err
    assert "RuntimeError" in written
    assert_clean(written)


def test_an_exception_that_nobody_caught_in_a_thread_shows_no_secret(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("info", "json")
    thread = threading.Thread(target=fail, name="sender", daemon=True)
    thread.start()
    thread.join()
    (line,) = lines()
    assert (line["event"], line["thread"]) == ("process.crashed", "sender")
    assert_clean(line["exception"])


def test_an_exception_that_ends_the_process_shows_no_secret() -> None:
    program = f'from tuma_worker import logs\nlogs.configure("info", "json")\nraise SystemError("refused {NUMBER}")'
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert_clean(done.stderr)
    assert json.loads(done.stderr)["event"] == "process.crashed"


def test_a_line_that_cannot_be_formatted_shows_where_it_is_and_not_what_it_held(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("info", "json")
    logging.getLogger("library").info("sent %d", NUMBER)
    (line,) = lines()
    assert line["event"] == "log.unformattable"
    assert line["logger"].startswith("library:")


def test_a_closed_stderr_stops_no_one(lines: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure("info", "json")
    with monkeypatch.context() as broken, io.StringIO() as closed:
        closed.close()
        broken.setattr(sys, "stderr", closed)
        logging.getLogger("library").info("lost")
    logging.getLogger("library").info("seen")
    assert [line["event"] for line in lines()] == ["seen"]


def test_a_warning_shows_no_secret(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("info", "json")
    warnings.simplefilter("always")
    warnings.warn(f"refused {NUMBER}", stacklevel=1)
    (line,) = lines()
    assert_clean(line["event"])


def test_event_names_are_all_different_and_of_one_form() -> None:
    names = [str(event) for event in logs.Event]
    assert len(set(names)) == len(names) == len(logs.Event.__members__)
    assert all(name.count(".") == 1 and name == name.lower() for name in names)
