"""`python -m tuma_worker.cli`: the command line where the console script is not on PATH."""

from __future__ import annotations

from tuma_worker.cli import main

main()
