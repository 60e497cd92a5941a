"""A person with a browser, without script: reads pages, fills in forms, follows redirects."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx

from tests.e2e.forms import Form, read_forms


@dataclass
class Page:
    """What the browser shows: the answer, and its forms. Off the site: only the address."""

    url: str
    status: int
    text: str
    headers: httpx.Headers

    @property
    def forms(self) -> list[Form]:
        return read_forms(self.text)

    @property
    def query(self) -> dict[str, str]:
        """Gives the parameters of the address, each with its one value."""
        return {name: value for name, [value] in parse_qs(urlsplit(self.url).query).items()}

    def form_with(self, **wanted: str) -> Form:
        """Gives the form that has these fields or buttons; an empty value stands for any."""
        for form in self.forms:
            held = [*form.fields.items(), *form.buttons]
            if all(
                any(name == key and value in ("", held_value) for key, held_value in held)
                for name, value in wanted.items()
            ):
                return form
        raise AssertionError(f"{self.url} has no form with {wanted}: {self.text}")


class Person:
    """Somebody in front of a browser, with the cookies of one site."""

    def __init__(self, issuer: str, username: str = "alice", password: str = "") -> None:
        self.issuer = issuer
        self.username = username
        self.password = password
        self.browser = httpx.AsyncClient(timeout=30, headers={"Accept": "text/html"})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.browser.aclose()

    @property
    def cookies(self) -> list[str]:
        return [cookie.value or "" for cookie in self.browser.cookies.jar]

    async def open(self, address: str) -> Page:
        """Opens an address of the site."""
        return await self._follow("GET", urljoin(self.issuer, address))

    async def submit(self, page: Page, form: Form, **values: str) -> Page:
        """Sends a form with some fields filled in."""
        target = urljoin(page.url, form.action)
        return await self._follow("POST", target, {**form.fields, **values}, page.url)

    async def sign_in(self, page: Page, password: str | None = None) -> Page:
        form = page.form_with(username="", password="")
        return await self.submit(
            page,
            form,
            action="sign-in",
            username=self.username,
            password=self.password if password is None else password,
        )

    async def allow(self, page: Page) -> Page:
        return await self.submit(page, page.form_with(action="allow"), action="allow")

    async def authorize(self, request: "AuthorizationRequest") -> Page:
        """Goes through sign-in and consent as far as they are asked for."""
        page = await self.open(request.address)
        if page.url.startswith(self.issuer) and 'name="password"' in page.text:
            page = await self.sign_in(page)
        if page.url.startswith(self.issuer) and 'value="allow"' in page.text:
            page = await self.allow(page)
        return page

    async def _follow(
        self, method: str, url: str, form: Mapping[str, str] | None = None, origin: str = ""
    ) -> Page:
        for _ in range(10):
            headers = {"Origin": self.issuer} if origin else {}
            answer = await self.browser.request(method, url, data=form, headers=headers)
            if answer.status_code not in (302, 303):
                return Page(url, answer.status_code, answer.text, answer.headers)
            url = urljoin(url, answer.headers["Location"])
            if not url.startswith(self.issuer + "/"):
                return Page(url, answer.status_code, "", answer.headers)
            method, form, origin = "GET", None, ""
        raise AssertionError(f"too many redirects, last to {url}")


@dataclass
class AuthorizationRequest:
    """What a client asks for, with PKCE and state."""

    issuer: str
    client_id: str
    redirect_uri: str
    scope: str
    more: Mapping[str, str] = field(default_factory=dict)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    @property
    def address(self) -> str:
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": self.state,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **self.more,
        }
        return f"{self.issuer}/oauth2/authorize?{urlencode(parameters)}"

    def exchange(self, code: str) -> dict[str, str]:
        """Gives the form that trades the code."""
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            "client_id": self.client_id,
        }
