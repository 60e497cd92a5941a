"""What the Order desk does as an OAuth client, one method for each thing that a person can do.

Each takes the person's session, whose lock the caller holds, and leaves in it what came of it:
tokens, orders, and the news.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from gateway.client.discovery import discover
from gateway.client.errors import ClientError, Refused, ServerUnreachable
from gateway.client.order_desk.orders import read_orders
from gateway.client.order_desk.recorder import GuardAnswer, RecordedHttp, Recorder, ask_guard
from gateway.client.order_desk.sessions import News, Pending, Session
from gateway.client.order_desk.wire import Field, Kind, Masker, Party, Place
from gateway.client.pkce import METHOD, challenge_of, make_verifier
from gateway.client.token_endpoint import ClientIdentity, TokenEndpoint, Tokens
from gateway.client.transport import HttpClient

_LEEWAY = 2.0  # seconds: what is about to expire would be refused on arrival


@dataclass(frozen=True, slots=True)
class OrderDeskOptions:
    """Where everybody is, and who the desk is at the authorization server.

    `guard_url` and `base_url`, the desk's own, are origins. `account_url` is where a person takes
    a permission back, if there is such a page.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    guard_url: str
    base_url: str
    scopes: tuple[str, ...] = ("orders:read", "orders:write")
    account_url: str | None = None

    @property
    def redirect_uri(self) -> str:
        """Where the authorization server sends its answers, as it is registered there."""
        return f"{self.base_url}/callback"


class WrongAnswer(Exception):  # noqa: N818 - what it is
    """What came to the callback is refused, and nothing of it was used."""

    def __init__(self, news: News) -> None:
        super().__init__(news.value)
        self.news = news


class Desk:
    """The OAuth client."""

    def __init__(
        self,
        options: OrderDeskOptions,
        http: HttpClient,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._http = http
        self._clock = clock

    def new_session(self) -> Session:
        """Make the session of a browser that is not known yet."""
        return Session(Masker([self._options.client_secret]))

    async def ask(self, session: Session) -> str | None:
        """Step 1. Give the URL to send the browser to; None when the server cannot be asked."""
        options = self._options
        verifier = make_verifier()
        pending = Pending(secrets.token_urlsafe(32), verifier)
        session.begin_again(pending)
        recorder = Recorder(session, self._clock)
        try:
            server = await discover(
                RecordedHttp(self._http, recorder, Kind.DISCOVER), options.issuer
            )
        except ClientError:
            session.news = News.UNAVAILABLE
            return None
        if server.authorization_endpoint is None:
            session.news = News.REFUSED
            return None
        session.server = server
        parameters = {
            "response_type": "code",
            "client_id": options.client_id,
            "redirect_uri": options.redirect_uri,
            "scope": " ".join(options.scopes),
            "state": pending.state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": METHOD,
        }
        # The metadata's endpoint may have a query of its own (RFC 6749, section 3.1).
        joint = "&" if "?" in server.authorization_endpoint else "?"
        url = f"{server.authorization_endpoint}{joint}{urlencode(parameters)}"
        recorder.note(
            Kind.ASK,
            (Party.BROWSER, Party.CLIENT),
            ("POST", f"{options.base_url}/connect"),
            (),
            (303, recorder.answered({"Location": url}, b"")),
        )
        return url

    async def take_answer(self, session: Session, answer: Mapping[str, str]) -> None:
        """Steps 2 and 3: take the code from the callback's parameters, and trade it.

        Raises WrongAnswer before anything of it is used.
        """
        if session.pending is None or session.server is None:
            raise WrongAnswer(News.NO_SESSION)
        pending, server = session.pending, session.server
        state = answer.get("state", "").encode("utf-8", "replace")
        if not hmac.compare_digest(state, pending.state.encode()):
            raise WrongAnswer(News.WRONG_STATE)
        # RFC 9207, section 2.4: a server that promises `iss` always sends it.
        if answer.get("iss") != server.issuer and (server.promises_iss or "iss" in answer):
            raise WrongAnswer(News.WRONG_ISSUER)
        code, error = answer.get("code"), answer.get("error")
        if (code is None) == (error is None):
            raise WrongAnswer(News.WRONG_CALLBACK)
        session.pending = None
        recorder = Recorder(session, self._clock)
        url = f"{self._options.redirect_uri}?{urlencode(answer)}"
        recorder.note(
            Kind.CALLBACK,
            (Party.BROWSER, Party.CLIENT),
            ("GET", url),
            recorder.sent(url, {}),
            (303, (Field(Place.HEADER, "Location", f"{self._options.base_url}/"),)),
        )
        if code is None:
            session.news = News.DENIED if error == "access_denied" else News.REFUSED
            return
        try:
            endpoint = self._token_endpoint(session, Kind.TRADE)
            tokens = await endpoint.exchange_code(
                code, self._options.redirect_uri, pending.verifier
            )
        except Refused:
            session.news = News.REFUSED
        except ClientError:
            session.news = News.UNAVAILABLE
        else:
            self._keep(session, tokens, before=None)
            session.news = News.CONNECTED

    async def load(self, session: Session) -> None:
        """Step 4: show the orders."""
        session.begin()
        await self._load(session)

    async def add(self, session: Session, item: str) -> None:
        """Step 4: add an order, and show them all."""
        session.begin()
        if not item.strip():
            session.news = News.EMPTY_ORDER
            return
        answer = await self._ask_guard(session, Kind.WRITE, {"item": item.strip()[:100]})
        if answer is None:
            return
        if answer.status != 201:
            session.news = _news_of(answer)
            return
        await self._load(session)
        if session.news in (News.LOADED, News.RENEWED):
            session.news = News.ADDED

    async def refresh(self, session: Session) -> None:
        """Step 5: get a new access token."""
        session.begin()
        if await self._refresh(session):
            session.news = News.REFRESHED

    async def sign_out(self, session: Session) -> None:
        """Throw the tokens away, and have them revoked."""
        session.begin()
        session.pending = None
        tokens = session.forget_tokens()
        if tokens is None:
            session.news = News.SIGNED_OUT
            return
        endpoint = self._token_endpoint(session, Kind.REVOKE)
        session.news = News.SIGNED_OUT
        for token, hint in (
            (tokens.refresh_token, "refresh_token"),
            (tokens.access_token, "access_token"),
        ):
            if token is not None:
                try:
                    await endpoint.revoke(token, hint)
                except ClientError:
                    session.news = News.NOT_REVOKED

    def lasts(self, session: Session) -> float | None:
        """Give for how many seconds more the access token is good; None when that is not known."""
        if session.tokens is None or session.tokens.expires_at is None:
            return None
        return max(0.0, session.tokens.expires_at - self._clock())

    async def _load(self, session: Session) -> None:
        refreshes = session.refreshes
        answer = await self._ask_guard(session, Kind.READ)
        if answer is None:
            return
        orders = read_orders(answer.members) if answer.status == 200 else None
        if orders is None:
            session.news = _news_of(answer)
            return
        session.orders = orders
        session.news = News.LOADED if session.refreshes == refreshes else News.RENEWED

    async def _ask_guard(
        self, session: Session, kind: Kind, members: Mapping[str, object] | None = None
    ) -> GuardAnswer | None:
        """Call the guarded service with a good token; give None when there is no answer to use.

        A token that has expired is refreshed first; one that is refused is refreshed once, and the
        call tried again: the guard has done nothing of what it refused.
        """
        lasts = self.lasts(session)
        is_fresh = False
        if lasts is not None and lasts <= _LEEWAY:
            if not await self._refresh(session):
                return None
            is_fresh = True
        recorder = Recorder(session, self._clock)
        url = f"{self._options.guard_url}/orders"
        while True:
            if session.tokens is None:
                session.news = News.NO_SESSION
                return None
            try:
                answer = await ask_guard(
                    self._http, recorder, kind, url, session.tokens.access_token, members
                )
            except ServerUnreachable:
                session.news = News.UNAVAILABLE
                return None
            if answer.status != 401 or answer.error != "invalid_token" or is_fresh:
                return answer
            if not await self._refresh(session):
                return None
            is_fresh = True

    async def _refresh(self, session: Session) -> bool:
        tokens = session.tokens
        if tokens is None:
            session.news = News.NO_SESSION
            return False
        if tokens.refresh_token is None:
            session.forget_tokens()
            session.news = News.ACCESS_ENDED
            return False
        endpoint = self._token_endpoint(session, Kind.REFRESH)
        try:
            fresh = await endpoint.refresh(tokens.refresh_token)
        except Refused as refused:
            if refused.code == "invalid_grant":
                session.forget_tokens()
                session.news = News.ACCESS_ENDED
            else:
                session.news = News.REFUSED
            return False
        except ClientError:
            session.news = News.UNAVAILABLE
            return False
        self._keep(session, fresh, before=tokens)
        session.refreshes += 1
        return True

    def _keep(self, session: Session, tokens: Tokens, before: Tokens | None) -> None:
        if before is not None and tokens.refresh_token is None:
            tokens = replace(tokens, refresh_token=before.refresh_token)
        if tokens.scope is not None:
            session.scopes = tuple(tokens.scope.split())
        elif before is None:
            session.scopes = self._options.scopes
        session.tokens = tokens

    def _token_endpoint(self, session: Session, kind: Kind) -> TokenEndpoint:
        assert session.server is not None  # noqa: S101 - for the type checker: tokens came from it
        return TokenEndpoint(
            RecordedHttp(self._http, Recorder(session, self._clock), kind),
            session.server,
            ClientIdentity(self._options.client_id, self._options.client_secret),
            self._clock,
        )


def _news_of(answer: GuardAnswer) -> News:
    if answer.error == "insufficient_scope":
        return News.SCOPE_MISSING
    return News.UNAVAILABLE if answer.status >= 500 else News.REFUSED
