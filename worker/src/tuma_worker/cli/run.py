"""The commands that run until they are told to end: worker, gateway, sandbox."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tuma_producer.errors import TumaError
from tuma_worker import logs, metrics, tracing
from tuma_worker.bootstrap import configured
from tuma_worker.cli.reach import reach
from tuma_worker.cli.reading import seconds
from tuma_worker.gateway.server import serve as serve_gateway
from tuma_worker.settings import Settings, load_settings

Port = typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.", show_default=False)


def worker(
    *,
    processes: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process: the calls it can have in flight.")] = 8,
    accounts: Annotated[list[str] | None, typer.Option("--account", help="Serve this account's queues only (repeatable).")] = None,
    queues: Annotated[list[str] | None, typer.Option(help="Serve this queue only (repeatable), such as lisoloo-main.send.")] = None,
    shutdown_timeout: Annotated[
        float, typer.Option(parser=seconds, help="Seconds that calls in flight get to end after SIGTERM.")
    ] = 30,
) -> None:
    """Send what is queued, within the providers' limits.

    Runs Dramatiq's own workers. SIGTERM and Ctrl-C let the calls in flight end and take no new ones.

    Example: tuma worker --processes 2 --threads 16
    """
    settings = load_settings()
    queues = [*(queues or []), *(queue for name in accounts or [] for queue in _queues_of(settings, name))]
    _check(settings, queues, processes)
    options = {"--processes": processes, "--threads": threads, "--worker-shutdown-timeout": round(shutdown_timeout * 1000)}
    command = [sys.executable, "-m", "dramatiq", "tuma_worker.actors:setup", "--skip-logging"]
    command += [word for name, value in options.items() for word in (name, str(value))]
    command += ["--queues", *queues] if queues else []
    os.execve(sys.executable, command, os.environ | _exposed(settings))  # noqa: S606 - no shell is wanted: this very process becomes Dramatiq's master


def _queues_of(settings: Settings, name: str) -> list[str]:
    if name not in settings.accounts:
        message = f"--account: {name!r} is not among the configured accounts ({', '.join(sorted(settings.accounts))})"
        raise TumaError(message)
    return [queue.name for queue in configured.all_queues(name, settings.accounts[name])]


def _check(settings: Settings, queues: list[str], processes: int) -> None:
    """Raise for what would otherwise be reported from inside Dramatiq's processes, again and again."""
    if not settings.accounts:
        message = "no account is configured; set TUMA_ACCOUNTS__<NAME>__PROVIDER and ..__API_KEY, or TUMA_CONFIG_FILE"
        raise TumaError(message)
    if settings.ops_port != 0 and processes > 1:
        message = "TUMA_OPS_PORT: probes are about one process; start several workers of --processes 1, or set it to 0"
        raise TumaError(message)
    if settings.ops_port != 0:
        _check_free("TUMA_OPS_PORT", settings.ops_host, settings.ops_port)
    tracing.check(settings.otlp_endpoint)
    configured.check_accounts(settings)
    known = sorted(queue.name for name, account in settings.accounts.items() for queue in configured.all_queues(name, account))
    for queue in queues:
        if queue not in known:
            message = f"queue {queue!r} is not among those of the configured accounts ({', '.join(known)})"
            raise TumaError(message)
    with reach() as store:
        store.redis.ping()


def _exposed(settings: Settings) -> dict[str, str]:
    if settings.metrics_port == 0:
        return {}
    _check_free("TUMA_METRICS_PORT", settings.metrics_host, settings.metrics_port)
    return metrics.exposed(settings.metrics_host, settings.metrics_port)


def _check_free(variable: str, host: str, port: int) -> None:
    try:
        metrics.check_free(host, port)
    except OSError as error:
        message = f"{variable}: cannot listen on {host}:{port} ({error.strerror}); set another, or 0 for none"
        raise TumaError(message) from None


def gateway(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on instead of the configured one.", show_default=False)
    ] = None,
    port: Annotated[int | None, Port] = None,
) -> None:
    """Serve over HTTP: take the providers' receipts, answer the API, show the dashboard.

    Example: tuma gateway --host 0.0.0.0 --port 8080
    """
    settings = load_settings()
    given = {"gateway_host": host, "gateway_port": port}
    logs.configure(settings.log_level, settings.log_format)
    serve_gateway(settings.model_copy(update={name: value for name, value in given.items() if value is not None}))


def sandbox(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 8090,
    config: Annotated[str, typer.Option(help="A JSON object, or a file that holds one.")] = "{}",
) -> None:
    """Stand in for the providers, on this machine.

    Example: tuma sandbox --port 8090 --config '{"latency_ms": 200}'
    """
    # The sandbox shares nothing with the rest; only who asks for it loads it.
    from tuma_worker.sandbox.server import PortTaken, serve  # noqa: PLC0415 - see above
    from tuma_worker.sandbox.settings import SettingsError as BadConfig  # noqa: PLC0415 - see above

    try:
        serve(host, port, _json_or_file(config))
    except (PortTaken, BadConfig) as error:
        raise TumaError(str(error)) from None


def _json_or_file(given: str) -> object:
    text, where = given, "--config"
    if not given.lstrip().startswith("{"):
        where = given
        try:
            text = Path(given).read_text(encoding="utf-8")
        except OSError as error:
            message = f"--config: cannot read {given} ({error.strerror})"
            raise TumaError(message) from None
        except UnicodeDecodeError:
            message = f"--config: {given} is not UTF-8 text"
            raise TumaError(message) from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        message = f"{where} is not JSON (line {error.lineno}, column {error.colno})"
        raise TumaError(message) from None
