"""Wiring: configured accounts, the parts that are made for them, and the real clocks, dice and names that these are given."""
