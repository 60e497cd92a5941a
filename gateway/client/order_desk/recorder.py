"""The client's HTTP, which keeps for the panel what really went over the wire."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp

from gateway.client.errors import ServerUnreachable
from gateway.client.order_desk.sessions import Session
from gateway.client.order_desk.wire import (
    Call,
    Field,
    Kind,
    Party,
    challenge_error,
    without_query,
)
from gateway.client.transport import Answer, Form, HttpClient

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_MAXIMUM_ANSWER = 256 * 1024


@dataclass(frozen=True, slots=True)
class GuardAnswer:
    """What the guard, or the service behind it, answered."""

    status: int
    error: str  # of the Bearer challenge; empty when there is none
    members: Mapping[str, object] = field(repr=False)  # of the JSON object; else empty


class Recorder:
    """Keeps the calls of one session."""

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        self._session = session
        self._clock = clock

    def note(
        self,
        kind: Kind,
        parties: tuple[Party, Party],
        request: tuple[str, str],
        sent: tuple[Field, ...],
        answer: tuple[int | None, tuple[Field, ...]],
    ) -> Call:
        """Keep one call: who asked whom, method and URL, what was sent, what came back."""
        self._session.counted += 1
        call = Call(
            number=self._session.counted,
            at=self._clock(),
            kind=kind,
            asker=parties[0],
            asked=parties[1],
            method=request[0],
            url=without_query(request[1]),
            sent=sent,
            status=answer[0],
            answered=answer[1],
        )
        self._session.keep(call)
        return call

    def sent(self, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[Field, ...]:
        """Mask a request."""
        masker = self._session.masker
        content_type = headers.get("Content-Type", "")
        return (
            *masker.headers(headers),
            *masker.query(url),
            *masker.body(body, content_type),
        )

    def answered(self, headers: Mapping[str, str], body: bytes) -> tuple[Field, ...]:
        """Mask an answer; one whose type is not known is read as JSON, if it is that."""
        masker = self._session.masker
        return (*masker.headers(headers), *masker.body(body, headers.get("Content-Type", _JSON)))


class RecordedHttp(HttpClient):
    """Asks the authorization server, for one purpose of one session."""

    def __init__(self, shared: HttpClient, recorder: Recorder, kind: Kind) -> None:
        super().__init__()
        self._shared = shared
        self._recorder = recorder
        self._kind = kind

    async def get(self, url: str, authorization: str | None = None) -> Answer:
        """GET a URL. Raises ServerUnreachable."""
        sent = self._recorder.sent(url, _headers(authorization))
        answer = None
        try:
            answer = await self._shared.get(url, authorization)
            return answer
        finally:
            self._note("GET", url, sent, answer)

    async def post(self, url: str, form: Form, authorization: str | None = None) -> Answer:
        """POST a form. Raises ServerUnreachable."""
        headers = {**_headers(authorization), "Content-Type": _FORM}
        sent = self._recorder.sent(url, headers, urlencode(form).encode())
        answer = None
        try:
            answer = await self._shared.post(url, form, authorization)
            return answer
        finally:
            self._note("POST", url, sent, answer)

    def _note(self, method: str, url: str, sent: tuple[Field, ...], answer: Answer | None) -> None:
        answered: tuple[Field, ...] = ()
        if answer is not None:
            # Its headers are not among what `HttpClient` gives, so none is shown.
            answered = self._recorder.answered({}, answer.body)
        self._recorder.note(
            self._kind,
            (Party.CLIENT, Party.AUTHORIZATION_SERVER),
            (method, url),
            sent,
            (None if answer is None else answer.status, answered),
        )


async def ask_guard(
    shared: HttpClient,
    recorder: Recorder,
    kind: Kind,
    url: str,
    access_token: str,
    members: Mapping[str, object] | None = None,
) -> GuardAnswer:
    """GET a guarded address, or POST JSON there. Raises ServerUnreachable.

    Redirects are not followed: nobody else gets the token.
    """
    headers = {"Accept": _JSON, **_headers(f"Bearer {access_token}")}
    body = b""
    if members is not None:
        headers["Content-Type"] = _JSON
        body = json.dumps(members).encode()
    method = "GET" if members is None else "POST"
    sent = recorder.sent(url, headers, body)
    status: int | None = None
    answered: tuple[Field, ...] = ()
    try:
        async with shared.session.request(
            method,
            url,
            headers=headers,
            data=body or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=15),
        ) as response:
            text = bytearray()
            async for chunk in response.content.iter_any():
                text += chunk
                if len(text) > _MAXIMUM_ANSWER:
                    raise ServerUnreachable("the guarded service answers without end")
            status = response.status
            answered = recorder.answered(response.headers, bytes(text))
            challenge = response.headers.get("WWW-Authenticate", "")
            return GuardAnswer(status, challenge_error(challenge), _members(text))
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise ServerUnreachable("the guard does not answer") from None
    finally:
        recorder.note(kind, (Party.CLIENT, Party.GUARD), (method, url), sent, (status, answered))


def _headers(authorization: str | None) -> dict[str, str]:
    return {} if authorization is None else {"Authorization": authorization}


def _members(body: bytes | bytearray) -> Mapping[str, object]:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}
