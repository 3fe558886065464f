"""The command line `tuma`: thin entrances to what the other rooms do."""

from __future__ import annotations

from typing import Annotated

import typer

from tuma_worker import __version__
from tuma_worker.cli import (
    accounts,
    budgets,
    campaigns,
    control,
    dead,
    look,
    output,
    provider,
    queue,
    run,
    schedule,
    subscriptions,
    suppress,
    tokens,
    watch,
)
from tuma_worker.cli.audit import audit
from tuma_worker.cli.demo import demo
from tuma_worker.cli.doctor import doctor
from tuma_worker.cli.forget import forget
from tuma_worker.cli.receipts import receipts
from tuma_worker.cli.send import send
from tuma_worker.cli.simulate import simulate
from tuma_worker.cli.sweep import sweep

app = typer.Typer(
    cls=output.Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they show the values of variables: keys, numbers, texts
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer calls it with the option's value
    if wanted:
        output.say(f"tuma {__version__}")
        raise typer.Exit


@app.callback()
def tuma(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Send SMS through providers, as fast as their limits allow and not one call faster.

    Settings come from TUMA_ variables and the file that TUMA_CONFIG_FILE names; `tuma config` shows them.

    Exit status: 0 done; 1 not as wished (not found, not delivered); 2 something has to be put right, said on stderr; 130 ended by
    Ctrl-C; 141 nobody reads the output any more.
    """
    del version


for command in (
    demo,
    run.worker,
    run.gateway,
    run.sandbox,
    send,
    look.get,
    look.explain,
    receipts,
    control.cancel,
    control.pause,
    control.resume,
    watch.watch,
    look.outcomes,
):
    app.command()(command)
app.add_typer(queue.app, name="queue")
app.add_typer(schedule.app, name="schedule")
app.add_typer(campaigns.app, name="campaigns")
app.add_typer(accounts.app, name="accounts")
app.add_typer(dead.app, name="dead")
app.add_typer(suppress.app, name="suppress")
app.add_typer(budgets.app, name="budgets")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(tokens.app, name="tokens")
app.command(context_settings=provider.CONTEXT)(provider.provider)
app.command()(audit)
app.command()(sweep)
app.command()(forget)
app.command()(look.config)
app.command()(doctor)
app.command()(simulate)


def main() -> None:
    """Run the command line: the console script `tuma`."""
    app(prog_name="tuma")
