"""A browser without script. It follows nothing by itself, so each answer can be looked at."""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import ClientSession
from argon2 import PasswordHasher
from yarl import URL

from gateway.authserver.people.passwords import hash_password
from gateway.authserver.records.sessions import begin_session, find_session
from gateway.authserver.records.users import User, find_user, insert_user
from gateway.authserver.storage.database import Database
from tests.authserver.conftest import ISSUER
from tests.authserver.people_fixtures import CALLBACK, CHALLENGE

PASSWORD = "correct horse 배터리"
# What the pages are tested with, since they do the same whatever a hash costs.
HASHER = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
HASH = hash_password(PASSWORD, HASHER)
COOKIE = "gateway-session"
REQUEST: Mapping[str, str] = {
    "response_type": "code",
    "client_id": "desk",
    "redirect_uri": CALLBACK,
    "scope": "orders:read",
    "state": "a b/?&=%+ü",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def authorize_url(**changes: str | None) -> str:
    """The authorization request with changes; None leaves a parameter out."""
    parameters = {**REQUEST, **changes}
    return "/oauth2/authorize?" + urlencode(
        [(name, value) for name, value in parameters.items() if value is not None]
    )


@dataclass(frozen=True)
class Page:
    """An answer as a browser sees it."""

    status: int
    headers: Mapping[str, str]
    text: str
    set_cookies: Mapping[str, str]  # each whole Set-Cookie line by its name

    def field(self, name: str) -> str:
        """The value of a hidden field, or of one that is filled in."""
        for tag in re.findall(r"<input[^>]*>", self.text):
            if f'name="{name}"' in tag:
                found = re.search(r'value="([^"]*)"', tag)
                return html.unescape(found[1]) if found else ""
        raise AssertionError(f"no field {name} in {self.text}")

    @property
    def csrf(self) -> str:
        return self.field("csrf")

    @property
    def form_action(self) -> str:
        found = re.search(r'<form[^>]*action="([^"]*)"', self.text)
        assert found, self.text
        return html.unescape(found[1])

    @property
    def location(self) -> str:
        return self.headers["Location"]

    @property
    def answer(self) -> dict[str, str]:
        """The parameters that the client is sent."""
        assert self.status == 303, self.text
        return dict(parse_qsl(urlsplit(self.location).query, strict_parsing=True))

    @property
    def is_sign_in(self) -> bool:
        return 'name="password"' in self.text

    @property
    def is_consent(self) -> bool:
        return 'value="allow"' in self.text


class Browser:
    """Keeps cookies, and sends the Origin that a browser would."""

    def __init__(
        self, session: ClientSession, base: str, database: Database, now: Callable[[], float]
    ) -> None:
        self.session = session
        self.base = base  # where the server really listens
        self.database = database
        self.cookies: dict[str, str] = {}
        self._now = now

    def another(self) -> Self:
        """Another browser."""
        return type(self)(self.session, self.base, self.database, self._now)

    async def request(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        sent = {"Accept": "text/html,*/*;q=0.8", **(headers or {})}
        if self.cookies and "Cookie" not in sent:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.session.request(
            method,
            URL(self.base + path, encoded=True),
            data=body,
            headers=sent,
            allow_redirects=False,
        ) as response:
            lines = response.headers.getall("Set-Cookie", [])
            text = await response.text()
        set_cookies = {line.partition("=")[0]: line for line in lines}
        for line in lines:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return Page(response.status, response.headers, text, set_cookies)

    async def get(self, path: str, **headers: str) -> Page:
        return await self.request("GET", path, headers=headers)

    async def post(
        self,
        path: str,
        form: Mapping[str, str] | str | bytes,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        body = urlencode(form) if isinstance(form, Mapping) else form
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": ISSUER,
            **(headers or {}),
        }
        return await self.request("POST", path, body, sent)

    async def send(self, page: Page, path: str | None = None, **fields: str) -> Page:
        """Sends a page's form."""
        return await self.post(path or page.form_action, {"csrf": page.csrf, **fields})

    async def sign_in(
        self,
        path: str = "/account",
        username: str = "anne",
        password: str = PASSWORD,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """Opens the page and gives a password on it."""
        page = await self.get(path)
        assert page.is_sign_in, page.text
        form = {"action": "sign-in", "username": username, "password": password, "csrf": page.csrf}
        return await self.post(page.form_action, form, headers)

    async def allow(self, path: str) -> Page:
        """Opens the page and allows what it asks."""
        page = await self.get(path)
        assert page.is_consent, page.text
        return await self.send(page, action="allow")

    def be(self, user: User) -> None:
        """Has that person signed in, without the cost of a password."""
        with self.database.transaction() as connection:
            current = find_user(connection, user.id)
            assert current is not None
            cookie = begin_session(connection, current, int(self._now()), 3600)
        self.cookies[COOKIE] = cookie

    @property
    def is_signed_in(self) -> bool:
        with self.database.transaction() as connection:
            return find_session(connection, self.cookies.get(COOKIE, ""), self._now()) is not None


def add_user(database: Database, name: str = "anne", password_hash: str = HASH) -> User:
    """Adds a person, whose password is PASSWORD."""
    with database.transaction() as connection:
        return insert_user(connection, name, password_hash, 1_800_000_000)
