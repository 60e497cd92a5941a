"""The pages for people: which there are, and what becomes of a request that fails.

Each failure is a page, in the person's language and without a word of the request.
"""

import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from aiohttp import web

from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.metadata import AUTHORIZATION_PATH, VERIFICATION_PATH
from gateway.authserver.options import AuthorizationServerOptions, CountSignIn, PublishRevocation
from gateway.authserver.pages import Pages
from gateway.authserver.pages.models import ErrorKind, ErrorPage
from gateway.authserver.people.account_page import ACCOUNT_PATH, SIGN_OUT_PATH, AccountPages
from gateway.authserver.people.authorize_page import AuthorizePage
from gateway.authserver.people.browsers import Cookies
from gateway.authserver.people.device_page import DevicePage
from gateway.authserver.people.passwords import Passwords
from gateway.authserver.people.sign_in import SignIn
from gateway.authserver.people.throttle import Throttle
from gateway.authserver.people.visit import PageRefused, Site, Visit
from gateway.authserver.storage.database import Database, DatabaseUnavailable
from gateway.policy.accept import prefers_html

STYLE_PATH = "/assets/style.css"
_RETRY_AFTER = "1"  # seconds

_logger = logging.getLogger(__name__)

_Answer = Callable[[Visit], Awaitable[web.Response]]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BrowserEndpoints:
    """Serves the pages of one authorization server.

    Args:
        options: what it needs to know.
        database: where people, clients and grants are.
        executor: where its transactions run; whoever made it ends it.
        publish: tells every worker of a revocation.
        count_sign_in: counts a try to sign in by what became of it.
        throttle: counts guesses.
        clock: gives the Unix time.
    """

    def __init__(
        self,
        options: AuthorizationServerOptions,
        database: Database,
        executor: Executor,
        publish: PublishRevocation,
        count_sign_in: CountSignIn,
        throttle: Throttle,
        clock: Callable[[], float],
    ) -> None:
        cookies = Cookies(options.issuer)
        self._site = Site(options, database, executor, clock, Pages(options.brand), cookies)
        self._passwords = Passwords()
        sign_in = SignIn(self._site, self._passwords, throttle, count_sign_in)
        self._authorize = AuthorizePage(self._site, sign_in)
        self._device = DevicePage(self._site, sign_in, throttle)
        self._account = AccountPages(self._site, sign_in, publish)

    def add_routes(self, application: web.Application) -> None:
        """Add the pages."""
        router = application.router
        for path, answer in (
            (AUTHORIZATION_PATH, self._authorize.get),
            (VERIFICATION_PATH, self._device.get),
            (ACCOUNT_PATH, self._account.get),
            ("/", _go_to_account),
        ):
            router.add_get(path, self._page(answer))
        for path, answer in (
            (AUTHORIZATION_PATH, self._authorize.post),
            (VERIFICATION_PATH, self._device.post),
            (ACCOUNT_PATH, self._account.post),
            (SIGN_OUT_PATH, self._account.sign_out),
        ):
            router.add_post(path, self._page(answer))
        router.add_get(STYLE_PATH, self._give_style)

    def refuse(self, request: web.Request, problem: Problem) -> web.Response | None:
        """Give the page for a path or method that does not exist; None: it was no browser."""
        if not prefers_html(request.headers.get("Accept", "")):
            return None
        return self._refuse(Visit(request, self._site), problem)

    def close(self) -> None:
        """Wait for the passwords that are being checked."""
        self._passwords.close()

    def _page(self, answer: _Answer) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            visit = Visit(request, self._site)
            try:
                return await answer(visit)
            except PageRefused as refused:
                headers = {"Retry-After": _RETRY_AFTER} if refused.status == 503 else None
                return visit.show(refused.page, refused.status, headers=headers)
            except RequestRefused as refused:
                return self._refuse(visit, refused.problem)
            except web.HTTPRequestEntityTooLarge:
                return self._refuse(visit, Problem.BODY_TOO_LARGE)
            except DatabaseUnavailable as error:
                # An outage is no fault of the program: one line, and no traceback.
                _logger.error("database unavailable: %s", error)
                return self._refuse(visit, Problem.DATABASE_UNAVAILABLE)
            except Exception:
                _logger.exception("unexpected failure")
                return self._refuse(visit, Problem.SERVER_ERROR)

        return handle

    def _refuse(self, visit: Visit, problem: Problem) -> web.Response:
        kind = _KINDS.get(problem, ErrorKind.BAD_REQUEST)
        page = ErrorPage(kind)
        if kind is ErrorKind.BAD_REQUEST:
            page = ErrorPage(kind, error=problem.error, description=problem.description)
        headers = {"Retry-After": _RETRY_AFTER} if problem.status == 503 else None
        return visit.show(page, problem.status, headers=headers)

    async def _give_style(self, request: web.Request) -> web.Response:
        # The name in the pages changes with the content; any other may be asked for again.
        is_named = request.path_qs == self._site.pages.style_url
        lasting = "public, max-age=31536000, immutable"
        return web.Response(
            body=self._site.pages.style(),
            content_type="text/css",
            charset="utf-8",
            headers={
                "Cache-Control": lasting if is_named else "no-cache",
                "X-Content-Type-Options": "nosniff",
                "Server": "gateway",
            },
        )


_KINDS = {
    Problem.NOT_FOUND: ErrorKind.NOT_FOUND,
    Problem.DATABASE_UNAVAILABLE: ErrorKind.UNAVAILABLE,
    Problem.SERVER_ERROR: ErrorKind.INTERNAL,
}


async def _go_to_account(visit: Visit) -> web.Response:
    return visit.redirect(ACCOUNT_PATH)
