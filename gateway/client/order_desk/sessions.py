"""What the Order desk remembers of one browser: in memory, bounded, gone when the desk ends."""

import asyncio
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.client.discovery import ServerMetadata
from gateway.client.order_desk.orders import Orders
from gateway.client.order_desk.wire import Call, Kind, Masker
from gateway.client.token_endpoint import Tokens

_MAXIMUM_SESSIONS = 1000
_CALLS_OF_A_KIND = 3


class News(StrEnum):
    """What has come of the last thing that the person did."""

    CONNECTED = "connected"
    LOADED = "loaded"
    ADDED = "added"
    REFRESHED = "refreshed"
    RENEWED = "renewed"  # refreshed on the way, since the access token was no longer good
    SIGNED_OUT = "signed_out"
    DENIED = "denied"
    ACCESS_ENDED = "access_ended"
    SCOPE_MISSING = "scope_missing"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    NOT_REVOKED = "not_revoked"
    EMPTY_ORDER = "empty_order"
    WRONG_STATE = "wrong_state"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_CALLBACK = "wrong_callback"
    NO_SESSION = "no_session"
    NOT_FROM_HERE = "not_from_here"
    NOT_FOUND = "not_found"
    FAILED = "failed"

    @property
    def is_good(self) -> bool:
        """Whether it went as the person wished."""
        return self in _GOOD


_GOOD = frozenset(
    {News.CONNECTED, News.LOADED, News.ADDED, News.REFRESHED, News.RENEWED, News.SIGNED_OUT}
)


@dataclass(frozen=True, slots=True)
class Pending:
    """A question to the authorization server that its answer at the callback must fit."""

    state: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(slots=True)
class Session:
    """One browser's conversation."""

    masker: Masker = field(repr=False)
    pending: Pending | None = None
    server: ServerMetadata | None = None
    tokens: Tokens | None = None
    scopes: tuple[str, ...] = ()
    refreshes: int = 0
    orders: Orders | None = None
    news: News | None = None
    calls: dict[Kind, deque[Call]] = field(default_factory=dict)
    counted: int = 0
    seen: int = 0  # the calls up to here are older than the last thing that the person did
    # Two refreshes at once would use one refresh token twice, which reads as theft.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def keep(self, call: Call) -> None:
        """Add a call to the panel; of each kind the last few stay."""
        self.calls.setdefault(call.kind, deque(maxlen=_CALLS_OF_A_KIND)).append(call)

    def begin(self) -> None:
        """Take note that the person does something new."""
        self.seen = self.counted
        self.news = None

    def begin_again(self, pending: Pending) -> None:
        """Forget what was shown, and ask a new question, whose answer must fit `pending`."""
        self.pending = pending
        self.calls.clear()
        self.counted = self.seen = 0
        self.news = None
        self.orders = None

    def forget_tokens(self) -> Tokens | None:
        """Give the tokens for the last time."""
        tokens, self.tokens, self.orders = self.tokens, None, None
        return tokens


class Sessions:
    """The sessions by the value of their cookie. The one unused for longest goes first."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def find(self, cookie: str | None) -> Session | None:
        """Give the session of a cookie."""
        session = self._sessions.get(cookie or "")
        if session is not None and cookie is not None:
            self._sessions.move_to_end(cookie)
        return session

    def put(self, session: Session, old_cookie: str | None = None) -> str:
        """Keep a session under a new cookie value, which this gives; the old one is void."""
        if old_cookie is not None:
            self._sessions.pop(old_cookie, None)
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = session
        while len(self._sessions) > _MAXIMUM_SESSIONS:
            self._sessions.popitem(last=False)
        return cookie
