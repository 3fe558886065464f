"""Measurements of the whole, from outside: `python -m tests.bench.NAME --json`. README.md says what each one measures."""
