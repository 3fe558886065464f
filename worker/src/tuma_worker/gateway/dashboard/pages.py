"""Pages as HTML: the templates, and what all of them are made with. Everything that is put into one is escaped."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from tuma_worker.gateway.dashboard import charts, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

# No script and no style but our own two files; no page of ours within another's.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Asset(NamedTuple):
    """A file that pages load. Its `version` is in its address, so that browsers may keep it for ever."""

    body: bytes
    media_type: str
    version: str


@cache
def asset(name: str) -> Asset | None:
    """The file of this name; None where there is none."""
    found = next((one for one in resources.files(__package__).joinpath("static").iterdir() if one.name == name), None)
    if found is None:
        return None
    body = found.read_bytes()
    return Asset(body, _TYPES[name.rpartition(".")[2]], sha256(body).hexdigest()[:12])


def _address(name: str) -> str:
    found = asset(name)
    if found is None:
        raise LookupError(name)
    return f"/static/{name}?{found.version}"


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    templates.filters |= {
        "count": words.count, "many": words.many, "span": words.span, "per": words.per, "time": words.time_of, "iso": words.iso,
        "share": words.share, "sentence": words.sentence,
    }  # fmt: skip
    templates.globals |= {"asset": _address, "chart_width": charts.WIDTH, "chart_height": charts.HEIGHT}
    return templates


def rendered(template: str, told: Mapping[str, Any]) -> str:
    """A template filled in."""
    return _templates().get_template(template).render(told)


def page(template: str, told: Mapping[str, Any], *, status: int = 200) -> Response:
    """A whole page as an answer."""
    return HTMLResponse(rendered(template, told), status, HEADERS)
