"""The dashboard: pages for people, made here and kept up to date while somebody looks at them."""

from tuma_worker.gateway.dashboard.front import routes

__all__ = ["routes"]
