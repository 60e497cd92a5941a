"""/oauth2/authorize: a client sends a person here, and gets a code if the person allows it.

What this file guards: what is allowed is what was shown. The form is bound to the person, to the
request and to the scopes on its page; and everything is read and judged anew in the transaction
that makes the code.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from aiohttp import web
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.authserver.form import Form
from gateway.authserver.metadata import AUTHORIZATION_PATH
from gateway.authserver.pages.models import ConsentPage, ErrorKind, ErrorPage, SignInProblem
from gateway.authserver.people.authorization import (
    Answer,
    AuthorizationRequest,
    RequestRejected,
    UnknownClient,
    WrongRedirect,
    describe_redirect,
    find_openings,
    form_targets,
    read_authorization_request,
)
from gateway.authserver.people.csrf import Purpose
from gateway.authserver.people.sign_in import Entrance, SignIn
from gateway.authserver.people.visit import PageRefused, Site, Visit, make_url, stale
from gateway.authserver.records.clients import find_client
from gateway.authserver.records.families import AuthorizationCode, begin_family, insert_code
from gateway.authserver.records.grants import Grant, allow, find_grant
from gateway.authserver.records.sessions import Session, end_session, find_session
from gateway.policy.tokenformat import new_token, token_hash

CODE_LIFETIME = 60  # seconds


@dataclass(frozen=True, slots=True)
class _Question:
    """A request as it stands now, and who is there to be asked."""

    request: AuthorizationRequest
    session: Session | None
    grant: Grant | None


class _SwitchedAccount:
    """The person wants to be asked under another name."""


_Outcome = _Question | Answer | _SwitchedAccount
_Work = Callable[[Connection, int], _Outcome]


class AuthorizePage:
    """Answers authorization requests."""

    def __init__(self, site: Site, sign_in: SignIn) -> None:
        self._site = site
        self._sign_in = sign_in

    async def get(self, visit: Visit) -> web.Response:
        """Ask the person, or answer the client when there is nothing to ask.

        Raises:
            RequestRefused, PageRefused, DatabaseUnavailable: the client is not told.
        """
        form = visit.read_query()

        def look(connection: Connection, now: int) -> _Outcome:
            found = self._read(connection, now, visit, form)
            is_settled = found.request.is_settled_by(found.grant)
            # HEAD changes nothing.
            if found.session is None or not is_settled or visit.request.method != "GET":
                return found
            return self._issue(connection, now, found.request, found.session)

        return await self._answer(visit, form, look)

    async def post(self, visit: Visit) -> web.Response:
        """Take what the person said, or who they say they are. Raises as `get` does."""
        form = visit.read_query()
        sent = await visit.read_form()
        action = sent.get("action")

        def look(connection: Connection, now: int) -> _Outcome:
            return self._read(connection, now, visit, form)

        def decide(connection: Connection, now: int) -> _Outcome:
            found = self._read(connection, now, visit, form)
            if found.session is None:
                return found
            if not visit.is_from_page(sent, Purpose.CONSENT, _subject(form, found.request)):
                raise stale(_url(form))
            if action == "switch-account":
                end_session(connection, visit.cookie)
                return _SwitchedAccount()
            if action == "allow":
                return self._issue(connection, now, found.request, found.session)
            description = "The person has denied the request."
            return found.request.answer(error="access_denied", error_description=description)

        if action == "sign-in":
            return await self._answer(visit, form, look, sent=sent)
        if action in ("allow", "deny", "switch-account"):
            return await self._answer(visit, form, decide, is_late=True)
        raise PageRefused(400, ErrorPage(ErrorKind.BAD_REQUEST))

    async def _answer(
        self,
        visit: Visit,
        form: Form,
        work: _Work,
        *,
        sent: Form | None = None,
        is_late: bool = False,
    ) -> web.Response:
        """Do the work and answer with what came out.

        `sent` is what came from a sign-in page. `is_late` says that a session was there when the
        page was made.
        """
        try:
            outcome = await self._site.transact(work)
        except UnknownClient:
            raise PageRefused(400, _UNKNOWN_CLIENT) from None
        except WrongRedirect as error:
            raise PageRefused(
                400, replace(_WRONG_REDIRECT, client_name=error.client_name)
            ) from None
        except RequestRejected as rejected:
            return visit.redirect(rejected.answer.location())
        if isinstance(outcome, Answer):
            return visit.redirect(outcome.location())
        if isinstance(outcome, _SwitchedAccount):
            response = visit.redirect(_url(form))
            self._site.cookies.forget_session(response)
            return response
        if outcome.session is not None:
            if sent is not None:  # signed in meanwhile, in another tab
                raise stale(_url(form))
            return self._show(visit, form, outcome.request, outcome.session)
        target = form_targets(outcome.request.redirect_uri)
        entrance = Entrance(_url(form), outcome.request.client.display_name, (target,))
        if sent is not None:
            return await self._sign_in.answer(visit, sent, entrance)
        if is_late:
            return self._sign_in.show(visit, entrance, 403, SignInProblem.STALE)
        return self._sign_in.show(visit, entrance)

    def _read(self, connection: Connection, now: int, visit: Visit, form: Form) -> _Question:
        """Read and judge everything anew; what was on a page may have changed since."""
        client = find_client(connection, form.get("client_id", ""))
        request = read_authorization_request(form, client, self._site.options)
        session = find_session(connection, visit.cookie, now)
        if session is None:
            return _Question(request, None, None)
        return _Question(
            request, session, find_grant(connection, session.user_id, request.client.id)
        )

    def _issue(
        self, connection: Connection, now: int, request: AuthorizationRequest, session: Session
    ) -> Answer:
        """Remember the consent and make a code; its lifetime is that of what comes of it so far."""
        try:
            grant = allow(connection, session.user_id, request.client.id, request.scope, now)
        except IntegrityError:  # one of the two has gone in this moment
            raise UnknownClient from None
        expires_at = now + CODE_LIFETIME
        family = begin_family(
            connection,
            grant,
            request.client,
            session.user_epoch,
            scope=request.scope,
            audience=request.audience,
            now=now,
            expires_at=expires_at,
        )
        code = new_token("ac")
        insert_code(
            connection,
            AuthorizationCode(
                hash=token_hash(code),
                family_id=family.id,
                client_id=request.client.id,
                redirect_uri=request.named_redirect_uri,
                code_challenge=request.code_challenge,
                expires_at=expires_at,
            ),
        )
        return request.answer(code=code)

    def _show(
        self, visit: Visit, form: Form, request: AuthorizationRequest, session: Session
    ) -> web.Response:
        page = ConsentPage(
            form_action=_url(form),
            csrf=visit.csrf(Purpose.CONSENT, _subject(form, request)),
            username=session.username,
            client_name=request.client.display_name,
            redirect_host=describe_redirect(request.redirect_uri),
            scopes=self._site.describe_scopes(request.scope),
            openings=find_openings(request.scope, self._site.options),
        )
        return visit.show(page, form_targets=(form_targets(request.redirect_uri),))


_UNKNOWN_CLIENT = ErrorPage(
    ErrorKind.UNKNOWN_CLIENT,
    error="invalid_request",
    description="client_id names no client that is registered here, or one that is disabled.",
)
_WRONG_REDIRECT = ErrorPage(
    ErrorKind.WRONG_REDIRECT,
    error="invalid_request",
    description="redirect_uri is not, letter by letter, one that the client has registered.",
)


def _url(form: Form) -> str:
    return make_url(AUTHORIZATION_PATH, form)


def _subject(form: Form, request: AuthorizationRequest) -> str:
    """Give all that the page is about: the request, and what a request leaves to the server."""
    return "\n".join((_url(form), request.redirect_uri, request.scope, request.audience))
