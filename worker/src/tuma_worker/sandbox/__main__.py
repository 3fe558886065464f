"""`python -m tuma_worker.sandbox`: the stand-ins from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tuma_worker.sandbox.server import PortTaken, serve
from tuma_worker.sandbox.settings import SettingsError

_UNUSABLE = 2


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end; exit status 2 when the port or the configuration cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m tuma_worker.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8600, help="0: any free port (default: %(default)s)")
    parser.add_argument("--config", default="{}", help="settings as a JSON object, or a file that holds one")
    options = parser.parse_args(arguments)
    try:
        serve(options.host, options.port, _config(options.config))
    except (PortTaken, SettingsError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return _UNUSABLE
    return 0


def _config(given: str) -> object:
    try:
        return json.loads(given if given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"config: {error}"
        raise SettingsError(msg) from error


if __name__ == "__main__":
    sys.exit(main())
