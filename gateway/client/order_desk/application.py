"""The Order desk's site over HTTP.

What this file guards: nothing is done but for a form of its own pages, in the session of the
browser that sends it; and no answer goes out without the headers that keep strangers' scripts and
frames away.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.client.order_desk.desk import Desk, OrderDeskOptions, WrongAnswer
from gateway.client.order_desk.language import WORDS
from gateway.client.order_desk.page import ICON, STYLE, Asset, Page
from gateway.client.order_desk.sessions import News, Session, Sessions
from gateway.client.transport import HttpClient
from gateway.policy.accept import choose_language

_LANGUAGE_COOKIE = "order_desk_language"
_MAXIMUM_BODY = 16 * 1024

_logger = logging.getLogger(__name__)


def create_order_desk(
    options: OrderDeskOptions, *, clock: Callable[[], float] = time.time
) -> web.Application:
    """Build the site. It opens its connections when it starts and closes them when it ends."""
    return _Site(options, clock).application()


class _Site:
    def __init__(self, options: OrderDeskOptions, clock: Callable[[], float]) -> None:
        self._options = options
        self._page = Page(options)
        self._sessions = Sessions()
        self._http = HttpClient()
        self._desk = Desk(options, self._http, clock)
        base = urlsplit(options.base_url)
        self._host = base.netloc
        self._is_https = base.scheme == "https"
        # A host's cookies are for all of its ports: another server on it, the authorization server
        # or a second desk, must not get this one in its way.
        self._cookie = f"order_desk_{base.port or base.scheme}"
        # A browser lets a form's answer lead where `form-action` allows, and no further.
        self._policy = (
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action 'self' {options.issuer}"
        )

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._answer], client_max_size=_MAXIMUM_BODY)
        application.cleanup_ctx.append(self._connect_http)
        router = application.router
        router.add_get("/", self._show)
        router.add_get("/callback", self._take_answer)
        router.add_get("/language/{language}", self._choose_language)
        for asset in (STYLE, ICON):
            router.add_get(asset.url, _serve(asset))
        router.add_post("/connect", self._ask)
        router.add_post("/orders/show", self._act(self._desk.load))
        router.add_post("/orders", self._add)
        router.add_post("/refresh", self._act(self._desk.refresh))
        router.add_post("/sign-out", self._act(self._desk.sign_out))
        return application

    async def _connect_http(self, _: web.Application) -> AsyncIterator[None]:
        async with self._http:
            yield

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer whatever happens with a page, and every page with its headers."""
        response: web.StreamResponse
        try:
            if request.host != self._host:
                # The cookie, and the address that the authorization server knows, are of one name.
                response = _redirect(f"{self._options.base_url}/")
            elif request.method == "POST" and not self._is_from_here(request):
                response = self._render(request, News.NOT_FROM_HERE, 403)
            else:
                response = await handler(request)
        except web.HTTPClientError as error:
            response = self._render(request, News.NOT_FOUND, error.status)
        except Exception:
            _logger.exception("unexpected failure")
            response = self._render(request, News.FAILED, 500)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Content-Security-Policy"] = self._policy
        # Not `no-referrer`: the browser would then keep to itself where a form comes from.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Server"] = "order-desk"
        return response

    def _is_from_here(self, request: web.Request) -> bool:
        return request.headers.get("Origin") == self._options.base_url

    async def _show(self, request: web.Request) -> web.Response:
        return self._render(request)

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request) or self._desk.new_session()
        async with session.lock:
            url = await self._desk.ask(session)
        response = _redirect(url or "/")
        self._remember(request, response, session)
        return response

    async def _take_answer(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        names = [name for name, _ in request.query.items()]
        if len(set(names)) != len(names):  # RFC 6749, section 3.1
            return self._render(request, News.WRONG_CALLBACK, 400)
        if session is None:
            return self._render(request, News.NO_SESSION, 400)
        try:
            async with session.lock:
                await self._desk.take_answer(session, dict(request.query))
        except WrongAnswer as wrong:
            return self._render(request, wrong.news, 400)
        # Away from the address with the code in it; and under a cookie that nobody had before.
        response = _redirect("/")
        self._remember(request, response, session)
        return response

    async def _add(self, request: web.Request) -> web.StreamResponse:
        # Whatever it claims to be: read as the form that the page sends, and as nothing else.
        body = (await request.read()).decode("utf-8", "replace")
        try:
            item = dict(parse_qsl(body, max_num_fields=10)).get("item", "")
        except ValueError:
            item = ""

        async def add(session: Session) -> None:
            await self._desk.add(session, item)

        return await self._act(add)(request)

    def _act(
        self, act: Callable[[Session], Awaitable[None]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            session = self._session(request)
            if session is None:
                return self._render(request, News.NO_SESSION, 400)
            async with session.lock:
                await act(session)
            return _redirect("/")

        return handle

    async def _choose_language(self, request: web.Request) -> web.StreamResponse:
        language = request.match_info["language"]
        if language not in WORDS:
            raise web.HTTPNotFound
        response = _redirect("/")
        response.set_cookie(
            _LANGUAGE_COOKIE,
            language,
            max_age=365 * 24 * 3600,
            httponly=True,
            secure=self._is_https,
            samesite="Lax",
        )
        return response

    def _session(self, request: web.Request) -> Session | None:
        return self._sessions.find(request.cookies.get(self._cookie))

    def _remember(
        self, request: web.Request, response: web.StreamResponse, session: Session
    ) -> None:
        """Keep a session, under a new cookie."""
        value = self._sessions.put(session, request.cookies.get(self._cookie))
        response.set_cookie(
            self._cookie, value, httponly=True, secure=self._is_https, samesite="Lax"
        )

    def _render(
        self, request: web.Request, news: News | None = None, status: int = 200
    ) -> web.Response:
        session = self._session(request)
        chosen = request.cookies.get(_LANGUAGE_COOKIE, "")  # by the link on the page
        language = (
            chosen if chosen in WORDS else choose_language(request.headers.get("Accept-Language"))
        )
        lasts = self._desk.lasts(session) if session is not None else None
        return web.Response(
            text=self._page.render(session, language, lasts=lasts, news=news),
            status=status,
            content_type="text/html",
            headers={"Vary": "Accept-Language, Cookie", "Content-Language": language},
        )


def _redirect(url: str) -> web.Response:
    return web.Response(status=303, headers={"Location": url})


def _serve(asset: Asset) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(
            body=asset.body,
            content_type=asset.content_type,
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    return serve
