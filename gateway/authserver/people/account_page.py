"""/account: which clients may act for a person, and taking it back.

What this file guards: the order commit -> publish -> answer. The page says that access was taken
back only when every worker has acknowledged it.
"""

import logging

from aiohttp import web
from sqlalchemy import Connection

from gateway.authserver.form import Form
from gateway.authserver.options import PublishRevocation
from gateway.authserver.pages.models import (
    AccountPage,
    ConnectedApp,
    ErrorKind,
    ErrorPage,
    SignedOutPage,
    SignInProblem,
)
from gateway.authserver.people.csrf import Purpose
from gateway.authserver.people.sign_in import Entrance, SignIn
from gateway.authserver.people.visit import PageRefused, Site, Visit, make_url, stale
from gateway.authserver.records.clients import find_client
from gateway.authserver.records.grants import GrantedClient, delete_grant, find_grant, list_grants
from gateway.authserver.records.sessions import Session, end_session, find_session
from gateway.policy.interfaces import Revocation, RevocationNotAcknowledged

ACCOUNT_PATH = "/account"
SIGN_OUT_PATH = "/account/sign-out"
_ENTRANCE = Entrance(ACCOUNT_PATH)

_logger = logging.getLogger(__name__)


class AccountPages:
    """Shows people their account, and signs them out."""

    def __init__(self, site: Site, sign_in: SignIn, publish: PublishRevocation) -> None:
        self._site = site
        self._sign_in = sign_in
        self._publish = publish

    async def get(self, visit: Visit) -> web.Response:
        """Show who has access.

        Raises:
            RequestRefused, DatabaseUnavailable: there is an error page for it.
        """
        revoked_id = visit.read_query().get("revoked")

        def look(connection: Connection, now: int) -> AccountPage | None:
            session = find_session(connection, visit.cookie, now)
            if session is None:
                return None
            apps = [self._describe(one) for one in list_grants(connection, session.user_id)]
            revoked = _find_revoked(connection, session, revoked_id)
            csrf = visit.csrf(Purpose.ACCOUNT, "")
            return AccountPage(ACCOUNT_PATH, SIGN_OUT_PATH, csrf, session.username, apps, revoked)

        page = await self._site.transact(look)
        return self._sign_in.show(visit, _ENTRANCE) if page is None else visit.show(page)

    async def post(self, visit: Visit) -> web.Response:
        """Take a client's access back. Raises as `get` does, and PageRefused."""
        form = await visit.read_form()
        action = form.get("action")
        client_id = form.get("client_id", "")

        def revoke(connection: Connection, now: int) -> tuple[Session | None, bool]:
            session = find_session(connection, visit.cookie, now)
            if session is None or action != "revoke":
                return session, False
            if not visit.is_from_page(form, Purpose.ACCOUNT, ""):
                raise stale(ACCOUNT_PATH)
            # Taken back already counts as well: after a 503 the form is sent again, and then the
            # answer has to mean that every worker knows.
            is_gone = delete_grant(connection, session.user_id, client_id)
            return session, is_gone or find_client(connection, client_id) is not None

        session, is_revoked = await self._site.transact(revoke)
        if action == "sign-in":
            if session is not None:  # signed in meanwhile, in another tab
                raise stale(ACCOUNT_PATH)
            return await self._sign_in.answer(visit, form, _ENTRANCE)
        if action != "revoke":
            raise PageRefused(400, ErrorPage(ErrorKind.BAD_REQUEST, retry_url=ACCOUNT_PATH))
        if session is None:
            return self._sign_in.show(visit, _ENTRANCE, 403, SignInProblem.STALE)
        if not is_revoked:
            return visit.redirect(ACCOUNT_PATH)
        await self._tell(session, client_id)
        return visit.redirect(make_url(ACCOUNT_PATH, Form({"revoked": client_id})))

    async def sign_out(self, visit: Visit) -> web.Response:
        """End the session of this browser. Raises as `get` does, and PageRefused."""
        form = await visit.read_form()

        def end(connection: Connection, now: int) -> None:
            # Without a session there is nothing that another page could end.
            if find_session(connection, visit.cookie, now) is None:
                return
            if not visit.is_from_page(form, Purpose.ACCOUNT, ""):
                raise stale(ACCOUNT_PATH)
            end_session(connection, visit.cookie)

        await self._site.transact(end)
        response = visit.show(SignedOutPage())
        self._site.cookies.forget_session(response)
        return response

    async def _tell(self, session: Session, client_id: str) -> None:
        """Tell every worker that the client may do nothing more for the person."""
        value = f"{session.user_id} {client_id}"
        try:
            await self._publish(Revocation(self._site.options.issuer, "grant", value), "page")
        except (RevocationNotAcknowledged, OSError) as error:
            _logger.error("revocation: %s", error)
            page = ErrorPage(ErrorKind.NOT_ACKNOWLEDGED, retry_url=ACCOUNT_PATH)
            raise PageRefused(503, page) from None

    def _describe(self, one: GrantedClient) -> ConnectedApp:
        grant = one.grant
        scopes = self._site.describe_scopes(grant.scope)
        return ConnectedApp(grant.client_id, one.client_name, scopes, grant.created_at)


def _find_revoked(connection: Connection, session: Session, client_id: str | None) -> str:
    """Give the name of the client that has just lost its access; "" when it has some."""
    client = find_client(connection, client_id) if client_id is not None else None
    if client is None or find_grant(connection, session.user_id, client.id) is not None:
        return ""
    return client.display_name
