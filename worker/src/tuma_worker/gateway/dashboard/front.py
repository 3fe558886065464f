"""The dashboard's addresses: which pages and actions there are, who may, and how each of them is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tuma_producer.contract.connection import REDIS_ERRORS
from tuma_producer.errors import TumaError
from tuma_worker.core.tokens import Scope
from tuma_worker.gateway import bodies
from tuma_worker.gateway.dashboard import actions, campaigns, dead, intent, overview, pages, schedules, sessions
from tuma_worker.gateway.dashboard.live import Live
from tuma_worker.gateway.dashboard.view import Memory, Rights, View
from tuma_worker.gateway.desk import Ask
from tuma_worker.gateway.problems import Kind, Problem, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from starlette.requests import Request

    from tuma_worker.gateway.dashboard.sessions import Session
    from tuma_worker.gateway.desk import Desk

    Look = Callable[[View], Awaitable[dict[str, Any]]]
    Act = Callable[[Ask, Mapping[str, str]], Awaitable[str]]
    Serve = Callable[[Request], Awaitable[Response]]

_NOTICE = "tuma_notice"  # a cookie: what an action has come to, for the page after it
_NOTICE_FOR = 60  # seconds
_LOGIN = "/login"
_STREAM = "text/event-stream"
_EVENTS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Page:
    """One page, the scope that a token needs to see it, and what is looked at for it. `named` at the head of all pages, or not."""

    path: str
    title: str
    scope: Scope
    template: str
    look: Look
    named: bool = True


PAGES = (
    Page("/", "Overview", Scope.WATCH, "overview.html", overview.look),
    Page("/campaigns", "Campaigns", Scope.WATCH, "campaigns.html", campaigns.look),
    Page("/schedules", "Schedules", Scope.READ, "schedules.html", schedules.look),
    Page("/dead", "Dead letters", Scope.WATCH, "dead.html", dead.look),
    Page("/intents", "Find", Scope.READ, "intent.html", intent.look, named=False),  # the search leads there
)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done. What it came to is told in a sentence."""

    path: str
    scope: Scope
    act: Act


ACTIONS = (
    Action("/accounts/resume", Scope.OPERATE, actions.resume_account),
    Action("/queues/pause", Scope.OPERATE, actions.pause_queue),
    Action("/queues/resume", Scope.OPERATE, actions.resume_queue),
    Action("/intents/pause", Scope.CONTROL, actions.pause_intent),
    Action("/intents/resume", Scope.CONTROL, actions.resume_intent),
    Action("/intents/cancel", Scope.CONTROL, actions.cancel_intent),
    Action("/campaigns/pause", Scope.OPERATE, actions.pause_campaign),
    Action("/campaigns/resume", Scope.OPERATE, actions.resume_campaign),
    Action("/campaigns/cancel", Scope.OPERATE, actions.cancel_campaign),
    Action("/dead/redrive", Scope.OPERATE, actions.redrive),
    Action("/dead/drop", Scope.OPERATE, actions.drop),
)


def routes(desk: Desk) -> list[Route]:
    """The dashboard's addresses."""
    front = Front(desk)
    return [
        Route(_LOGIN, front.answering(front.log_in), methods=["GET", "POST"]),
        Route("/logout", front.answering(front.log_out), methods=["POST"]),
        Route("/static/{name}", _static),
        *[Route(one.path, front.showing(one)) for one in PAGES],
        *[Route(f"/live{one.path}", front.following(one)) for one in PAGES],
        *[Route(one.path, front.doing(one), methods=["POST"]) for one in ACTIONS],
    ]


class Front:
    """Serves the dashboard to whoever has logged in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._memory = Memory()
        self._live = Live()

    # ------------------------------------------------------------------------------------------------------ coming, going

    async def log_in(self, request: Request) -> Response:
        """The form, or what it came to."""
        if request.method != "POST":
            return pages.page("login.html", {"refused": False, "next": _local(request.query_params.get("next", ""))})
        _expect_own(request)
        form = await bodies.read_form(request)
        wanted = _local(form.get("next", ""))
        secret = await sessions.log_in(self._desk, form.get("token", ""))
        if secret is None:
            return pages.page("login.html", {"refused": True, "next": wanted}, status=Kind.NO_TOKEN.status)
        response = _see(wanted)
        sessions.keep(response, request, secret)
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        session = await sessions.of(self._desk, request)
        if session is not None:
            await _form_of(session, request)
            await sessions.log_out(self._desk, session)
        response = _see(_LOGIN)
        sessions.drop(response)
        return response

    # ------------------------------------------------------------------------------------------------------------- seeing

    def showing(self, page: Page) -> Serve:
        """What serves a page."""

        async def serve(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return _see(f"{_LOGIN}?next={quote(_here(request))}")
            if page is PAGES[0] and page.scope not in session.token.rights:
                return _see(_seen_by(session)[0].path)
            _expect(session, page.scope)
            told = await page.look(self._view(session, request)) | _about(session, page, request)
            response = pages.page("page.html", told)
            if told["notice"]:
                response.delete_cookie(_NOTICE)
            return response

        return self.answering(serve)

    def following(self, page: Page) -> Serve:
        """What serves the same page as it changes, as server-sent events: all of it that is the same for everybody."""

        async def serve(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                raise Problem(Kind.NO_TOKEN, "log in again")
            _expect(session, page.scope)
            self._live.expect_room()
            if request.method == "HEAD":
                return Response(media_type=_STREAM, headers=_EVENTS)  # the other one has no end
            view = self._view(session, request)
            told = self._live.follow((page.path, view.rights, view.asked), lambda: _fragment(page, view))
            return StreamingResponse(self._until_the_end(told, request), media_type=_STREAM, headers=_EVENTS)

        return self.answering(serve)

    async def _until_the_end(self, told: AsyncIterator[bytes], request: Request) -> AsyncIterator[bytes]:
        """What is told, until the session ends or the gateway does."""
        async for piece in told:
            if self._desk.readers.ending.is_set():
                return
            if await self._has_ended(request):
                yield b"event: end\ndata:\n\n"
                return
            yield piece

    async def _has_ended(self, request: Request) -> bool:
        """Whether the session has. Without a Redis nobody can tell, and there is nothing to be seen."""
        try:
            return await sessions.of(self._desk, request) is None
        except (TumaError, *REDIS_ERRORS):
            return False

    def _view(self, session: Session, request: Request) -> View:
        asked = tuple(sorted(request.query_params.items()))
        return View(self._desk, self._memory, Rights.of(session.token), asked)

    # -------------------------------------------------------------------------------------------------------------- doing

    def doing(self, action: Action) -> Serve:
        """What does an action, and goes back to the page that it was asked for on."""

        async def serve(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return _see(_LOGIN)
            _expect(session, action.scope)
            form = await _form_of(session, request)
            told = await action.act(Ask(request, session.token, self._desk), form)
            response = _see(_local(_path_of(request.headers.get("referer", ""))))
            response.set_cookie(_NOTICE, quote(told), max_age=_NOTICE_FOR, httponly=True, samesite="strict")
            return response

        return self.answering(serve)

    # ----------------------------------------------------------------------------------------------------------- for each

    async def _session(self, request: Request) -> Session | None:
        """The session; None where nobody has logged in. Raises `Problem` where its token asks too often."""
        session = await sessions.of(self._desk, request)
        if session is not None:
            self._desk.rates.admit(session.token)
        return session

    def answering(self, serve: Serve) -> Serve:
        """What serves, and shows a page of its own for whatever is wrong."""

        async def answer(request: Request) -> Response:
            try:
                return await serve(request)
            except Problem as problem:
                return _wrong(problem)
            except TumaError as error:
                return _wrong(problem_of(error))
            except REDIS_ERRORS:
                return _wrong(Problem(Kind.NO_STORE, "look again in a moment; whether an action took effect is not known"))

        return answer


def _expect(session: Session, scope: Scope) -> None:
    """Raise `Problem` where the token has not this scope."""
    if scope not in session.token.rights:
        raise Problem(Kind.NO_SCOPE, f"the token {session.token.name} has not the scope {scope}")


def _seen_by(session: Session) -> list[Page]:
    """The pages that a session may see: at least one, or nobody could have logged in."""
    return [one for one in PAGES if one.scope in session.token.rights]


def _acts(rights: frozenset[Scope]) -> frozenset[str]:
    """The addresses of what may be done: the buttons that are shown."""
    return frozenset(one.path for one in ACTIONS if one.scope in rights)


async def _fragment(page: Page, view: View) -> str:
    """The part of a page that is the same for everybody; or what stands in its way now."""
    try:
        told = await page.look(view)
    except (TumaError, *REDIS_ERRORS) as error:
        problem = problem_of(error) if isinstance(error, TumaError) else Problem(Kind.NO_STORE, "it is tried again and again")
        return pages.rendered("trouble.html", {"problem": problem})
    return pages.rendered(page.template, told | {"proof": "", "can": view.rights.scopes, "acts": _acts(view.rights.scopes)})


def _about(session: Session, page: Page, request: Request) -> dict[str, Any]:
    """What a page says besides what it is about."""
    query = f"?{request.url.query}" if request.url.query else ""
    return {
        "page": page,
        "pages": _seen_by(session),
        "name": session.token.name,
        "can": session.token.rights,
        "acts": _acts(session.token.rights),
        "proof": session.proof,
        "notice": unquote(request.cookies.get(_NOTICE, "")),
        "live": f"/live{page.path}{query}",
    }


def _wrong(problem: Problem) -> Response:
    response = pages.page("wrong.html", {"problem": problem}, status=problem.kind.status)
    response.headers.update({name: value for name, value in problem.headers.items() if name != "WWW-Authenticate"})
    return response


async def _form_of(session: Session, request: Request) -> Mapping[str, str]:
    """A form of ours. Raises `Problem` where it is another site's."""
    _expect_own(request)
    form = await bodies.read_form(request)
    if not session.proves(form.get("proof", "")):
        raise Problem(Kind.FOREIGN, "load the page again, and do it there")
    return form


def _expect_own(request: Request) -> None:
    """Raise `Problem` where the browser says that another site has made it ask."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Problem(Kind.FOREIGN, "load the page again, and do it there")


def _see(path: str) -> Response:
    return RedirectResponse(path, status_code=303, headers=pages.HEADERS)


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _path_of(address: str) -> str:
    parts = urlsplit(address)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _local(path: str) -> str:
    """A path on this server, whatever is given: two slashes would name another."""
    return "/" + path.lstrip("/\\")


async def _static(request: Request) -> Response:
    found = pages.asset(request.path_params["name"])
    if found is None:
        return Response(status_code=Kind.NOT_FOUND.status)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(found.body, headers=headers, media_type=found.media_type)
