"""Signing in: the one place where a password is taken, whatever page it is given on.

What this file guards: an unknown name, a disabled account and a wrong password cost the same and
read the same; nothing is hashed for who guesses too often; and who signs in gets another cookie.
"""

from dataclasses import dataclass, replace

from aiohttp import web
from sqlalchemy import Connection

from gateway.authserver.form import Form
from gateway.authserver.options import CountSignIn
from gateway.authserver.pages.models import SignInPage, SignInProblem
from gateway.authserver.people.browsers import add_mark, find_mark
from gateway.authserver.people.csrf import Purpose
from gateway.authserver.people.passwords import Passwords, PasswordsBusy, Verdict
from gateway.authserver.people.throttle import Throttle, Throttled
from gateway.authserver.people.visit import Site, Visit
from gateway.authserver.records.sessions import begin_session, end_session
from gateway.authserver.records.users import (
    User,
    find_user_by_name,
    normalize_name,
    rehash_password,
)

_BUSY_RETRY_AFTER = 2  # seconds


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where somebody signs in: the URL that they come back to, and for which client.

    `form_targets` are where that URL may lead on to by itself.
    """

    url: str
    client_name: str = ""
    form_targets: tuple[str, ...] = ()


class SignIn:
    """Shows the sign-in page and takes what it sends."""

    def __init__(
        self, site: Site, passwords: Passwords, throttle: Throttle, count_sign_in: CountSignIn
    ) -> None:
        self._site = site
        self._passwords = passwords
        self._throttle = throttle
        self._count = count_sign_in

    def show(
        self,
        visit: Visit,
        entrance: Entrance,
        status: int = 200,
        problem: SignInProblem | None = None,
        *,
        username: str = "",
        retry_after: int = 0,
    ) -> web.Response:
        """Show the sign-in page."""
        page = SignInPage(
            form_action=entrance.url,
            csrf=visit.csrf(Purpose.SIGN_IN, entrance.url),
            client_name=entrance.client_name,
            username=username,
            problem=problem,
            retry_after=retry_after,
        )
        headers = {"Retry-After": str(retry_after)} if retry_after else None
        return visit.show(page, status, form_targets=entrance.form_targets, headers=headers)

    async def answer(self, visit: Visit, form: Form, entrance: Entrance) -> web.Response:
        """Answer a try to sign in; a good one leads back to the entrance's URL.

        Raises:
            DatabaseUnavailable: nobody can say whether it is good.
        """
        if not visit.is_from_page(form, Purpose.SIGN_IN, entrance.url):
            return self.show(visit, entrance, 403, SignInProblem.STALE)
        typed = form.get("username", "")
        account = _read_name(typed)
        user = await self._site.transact(
            lambda connection, _: find_user_by_name(connection, account)
        )
        marks = self._site.cookies.read_marks(visit.request)
        try:
            counted = self._throttle.begin_sign_in(visit.network, account, find_mark(marks, user))
        except Throttled as throttled:
            self._count("throttled")
            return self.show(
                visit,
                entrance,
                429,
                SignInProblem.THROTTLED,
                username=typed,
                retry_after=throttled.retry_after,
            )
        is_enabled = user is not None and user.disabled_at is None
        known = user.password_hash if user is not None and is_enabled else None
        try:
            verdict = await self._passwords.verify(known, form.get("password", ""))
        except PasswordsBusy:
            self._throttle.forget(counted)
            return self.show(
                visit,
                entrance,
                503,
                SignInProblem.BUSY,
                username=typed,
                retry_after=_BUSY_RETRY_AFTER,
            )
        if user is None or not verdict.is_right:
            self._count("failed")
            return self.show(visit, entrance, 403, SignInProblem.WRONG, username=typed)
        self._throttle.forgive(counted)
        current, cookie = await self._site.transact(
            lambda connection, now: self._begin(connection, now, user, verdict, visit.cookie)
        )
        self._count("succeeded")
        response = visit.redirect(entrance.url)
        self._site.cookies.set_session(response, cookie)
        self._site.cookies.set_marks(response, add_mark(marks, current))
        return response

    def _begin(
        self, connection: Connection, now: int, user: User, verdict: Verdict, old_cookie: str
    ) -> tuple[User, str]:
        # Under the epoch that went with the password: when either has changed in the meantime, the
        # session is dead from birth.
        end_session(connection, old_cookie)
        cookie = begin_session(connection, user, now, self._site.options.session_lifetime)
        if verdict.new_hash is not None and rehash_password(connection, user, verdict.new_hash):
            user = replace(user, password_hash=verdict.new_hash)
        return user, cookie


def _read_name(typed: str) -> str:
    """Give the account that was meant; one that cannot exist is looked for like any other."""
    try:
        return normalize_name(typed)
    except ValueError:
        return typed
