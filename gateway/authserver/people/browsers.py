"""What a browser keeps for us: the cookie of its session, and the marks of people it knows.

A mark says that a person has signed in in this browser before, which only the throttle asks. It is
an HMAC under the hash of the person's password: nothing has to be stored, nobody else can make one,
and with the password it ends.
"""

import base64
import hmac
import re
import secrets

from aiohttp import web

from gateway.authserver.records.users import User
from gateway.policy.cookies import HOST_PREFIX, MARKS_COOKIE, SESSION_COOKIE

_MARKS_LIFETIME = 365 * 24 * 3600  # seconds
_MARK = re.compile(r"(?P<nonce>[A-Za-z0-9_-]{22})(?P<digest>[A-Za-z0-9_-]{43})")
_MOST_MARKS = 5  # people who share a browser
_NOBODY = secrets.token_bytes(32)


class Cookies:
    """Reads and writes the cookies of one issuer.

    On https their names begin with `__Host-`: no other host and no plain connection can set them
    (RFC 6265bis, section 4.1.3.2). On http, on this machine alone, browsers refuse such names.
    """

    def __init__(self, issuer: str) -> None:
        self._is_secure = issuer.startswith("https://")
        prefix = HOST_PREFIX if self._is_secure else ""
        self._session_name = prefix + SESSION_COOKIE
        self._marks_name = prefix + MARKS_COOKIE

    def read_session(self, request: web.Request) -> str:
        """Give the session cookie's value as the browser sent it; "" for none."""
        return request.cookies.get(self._session_name, "")

    def read_marks(self, request: web.Request) -> str:
        """Give the marks as the browser sent them; "" for none."""
        return request.cookies.get(self._marks_name, "")

    def set_session(self, response: web.StreamResponse, value: str) -> None:
        """Have the browser keep the value until it is closed."""
        self._set(response, self._session_name, value, None)

    def set_marks(self, response: web.StreamResponse, marks: str) -> None:
        """Have the browser keep the marks."""
        self._set(response, self._marks_name, marks, _MARKS_LIFETIME)

    def forget_session(self, response: web.StreamResponse) -> None:
        """Have the browser forget its session; the marks stay."""
        self._set(response, self._session_name, "", 0)

    def _set(
        self, response: web.StreamResponse, name: str, value: str, max_age: int | None
    ) -> None:
        # Lax: the cookie has to come along when a client sends the browser here.
        response.set_cookie(
            name,
            value,
            path="/",
            max_age=max_age,
            secure=self._is_secure,
            httponly=True,
            samesite="Lax",
        )


def find_mark(marks: str, user: User | None) -> str | None:
    """Give what names the browser, if it has a mark of that person's; nobody has any."""
    found = None
    for mark in marks.split(".", _MOST_MARKS)[:_MOST_MARKS]:
        match = _MARK.fullmatch(mark)
        if match is not None:
            digest = _mark_digest(user, match["nonce"])
            if hmac.compare_digest(match["digest"].encode("ascii"), digest.encode("ascii")):
                found = match["nonce"]
    return found if user is not None else None


def add_mark(marks: str, user: User) -> str:
    """Give the marks with one of that person's among them; the oldest make room."""
    if find_mark(marks, user) is not None:
        return marks
    nonce = secrets.token_urlsafe(16)
    others = [mark for mark in marks.split(".", _MOST_MARKS) if _MARK.fullmatch(mark)]
    return ".".join([nonce + _mark_digest(user, nonce), *others][:_MOST_MARKS])


def _mark_digest(user: User | None, nonce: str) -> str:
    key = _NOBODY if user is None else user.password_hash.encode("utf-8")
    name = "" if user is None else user.id
    digest = hmac.digest(key, f"browser mark\0{name}\0{nonce}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
