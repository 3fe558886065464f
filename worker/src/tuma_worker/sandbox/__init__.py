"""The sandbox: both providers' stand-ins as one HTTP server, with a ledger that tests trust.

It imports nothing of ours, so that a misreading of a provider's documents cannot cancel itself out. README.md beside this
file says first what it does not imitate.
"""
