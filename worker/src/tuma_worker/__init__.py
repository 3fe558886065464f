"""Tuma's service: takes send intents from Redis and sends them through SMS providers, within the providers' limits."""

from __future__ import annotations

__version__ = "0.1.0"
