"""One request of a browser: what it brought, and how it is answered.

What this file guards: every page has the headers that keep it out of frames, caches and other
pages' reach, and a form is read only when it comes from this origin.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from aiohttp import web
from sqlalchemy import Connection

from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.form import Form, parse_form, read_form
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.pages import Pages
from gateway.authserver.pages.models import ErrorKind, ErrorPage, Page, ScopeLine
from gateway.authserver.people.browsers import Cookies
from gateway.authserver.people.csrf import Purpose, is_csrf_token, make_csrf_token
from gateway.authserver.people.throttle import find_client_network
from gateway.authserver.records.sessions import is_cookie_value, new_cookie_value
from gateway.authserver.storage.database import Database
from gateway.policy.accept import choose_language

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with it Chromium sends `Origin: null` with forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie",
    "Server": "gateway",
}
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)

T = TypeVar("T")


class PageRefused(Exception):  # noqa: N818 - what is at fault is the request
    """The request is answered with an error page."""

    def __init__(self, status: int, page: ErrorPage) -> None:
        self.status = status
        self.page = page
        super().__init__(page.kind.value)


@dataclass(frozen=True, slots=True)
class Site:
    """What all pages of one server share; `clock` gives the Unix time."""

    options: AuthorizationServerOptions
    database: Database
    executor: Executor
    clock: Callable[[], float]
    pages: Pages
    cookies: Cookies

    async def transact(self, work: Callable[[Connection, int], T]) -> T:
        """Do the work, which takes a connection and the time, in a transaction of its own.

        Raises:
            DatabaseUnavailable: it could not be done; and whatever the work raises.
        """

        def run() -> T:
            with self.database.transaction() as connection:
                return work(connection, int(self.clock()))

        return await asyncio.get_running_loop().run_in_executor(self.executor, run)

    def describe_scopes(self, scope: str) -> list[ScopeLine]:
        """Give scopes as a person reads them."""
        words = self.options.scopes
        return [ScopeLine(name, words.get(name, {})) for name in scope.split()]


class Visit:
    """One request of a browser.

    `cookie` is the value of its session cookie, or a new one that comes with the first page: forms
    are bound to it before anybody is signed in.
    """

    def __init__(self, request: web.Request, site: Site) -> None:
        self.request = request
        self.site = site
        sent = site.cookies.read_session(request)
        self._has_cookie = is_cookie_value(sent)
        self.cookie = sent if self._has_cookie else new_cookie_value()
        self.language = choose_language(",".join(request.headers.getall("Accept-Language", ())))

    @property
    def network(self) -> str:
        """Where the request comes from, as the throttle counts it."""
        return find_client_network(
            self.request.remote,
            self.request.headers.getall("X-Forwarded-For", ()),
            self.site.options.trusted_proxies,
        )

    def read_query(self) -> Form:
        """Read the parameters in the URL, as it came and not as a library mended it.

        Raises RequestRefused.
        """
        target = self.request.raw_path
        if "#" in target:
            raise RequestRefused(Problem.MALFORMED_FORM)
        return parse_form(target.partition("?")[2].encode("utf-8", "surrogateescape"))

    async def read_form(self) -> Form:
        """Read the form that was sent.

        Raises:
            RequestRefused: it is no clean form.
            PageRefused: a page of another origin sent it.
        """
        request = self.request
        if any(
            origin != self.site.options.issuer for origin in request.headers.getall("Origin", ())
        ):
            raise stale()
        return await read_form(request)

    def csrf(self, purpose: Purpose, subject: str) -> str:
        """Give the token of a form on a page about that subject."""
        return make_csrf_token(self.cookie, purpose, subject)

    def is_from_page(self, form: Form, purpose: Purpose, subject: str) -> bool:
        """Say whether the form comes from our page about that subject, in this browser."""
        return is_csrf_token(form.get("csrf"), self.cookie, purpose, subject)

    def show(
        self,
        page: Page,
        status: int = 200,
        *,
        form_targets: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Answer with a page; its form may lead on to `form_targets`, beside this origin."""
        response = web.Response(
            text=self.site.pages.render(page, self.language),
            status=status,
            content_type="text/html",
            charset="utf-8",
            headers={
                **_HEADERS,
                "Content-Language": self.language,
                "Content-Security-Policy": " ".join((_POLICY, *form_targets)),
                **(headers or {}),
            },
        )
        if not self._has_cookie and hasattr(page, "csrf"):
            self.site.cookies.set_session(response, self.cookie)
        return response

    def redirect(self, location: str) -> web.Response:
        """Send the browser on, by GET whatever came (RFC 9700, section 4.12)."""
        return web.Response(status=303, headers={**_HEADERS, "Location": location})


def stale(retry_url: str = "") -> PageRefused:
    """Give the refusal of a form that did not come from the page that it belongs to."""
    return PageRefused(403, ErrorPage(ErrorKind.STALE, retry_url=retry_url))


def make_url(path: str, form: Form) -> str:
    """Give a path of this server with the parameters, in one spelling."""
    pairs = [*form.items(), *(("resource", value) for value in form.resources)]
    return f"{path}?{urlencode(pairs)}" if pairs else path
