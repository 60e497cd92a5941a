"""/oauth2/device: a person lets a device in that has no browser (RFC 8628, section 3.3).

What this file guards: nothing is allowed by following a link. The person types or sees the code,
compares it with the device's, and says so in a form that is bound to them and to that code; and
codes cannot be found by trying.
"""

from aiohttp import web
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.authserver.form import Form
from gateway.authserver.metadata import DEVICE_CODE_GRANT, VERIFICATION_PATH
from gateway.authserver.pages.models import (
    DeviceCodePage,
    DeviceCodeProblem,
    DeviceConfirmPage,
    DeviceDonePage,
    ErrorKind,
    ErrorPage,
    SignInProblem,
)
from gateway.authserver.people.authorization import find_openings
from gateway.authserver.people.csrf import Purpose
from gateway.authserver.people.sign_in import Entrance, SignIn
from gateway.authserver.people.throttle import Throttle, Throttled
from gateway.authserver.people.visit import PageRefused, Site, Visit, stale
from gateway.authserver.records.clients import Client, find_client
from gateway.authserver.records.devices import (
    DeviceRequest,
    approve_device,
    deny_device,
    find_device_request,
    normalize_user_code,
)
from gateway.authserver.records.families import begin_family
from gateway.authserver.records.grants import allow
from gateway.authserver.records.sessions import Session, end_session, find_session


class _NoRequest(Exception):  # noqa: N818 - a state, not a fault
    """No device waits under that code."""


class DevicePage:
    """Takes the codes that devices show, and what people say to them."""

    def __init__(self, site: Site, sign_in: SignIn, throttle: Throttle) -> None:
        self._site = site
        self._sign_in = sign_in
        self._throttle = throttle

    async def get(self, visit: Visit) -> web.Response:
        """Ask for the code; one that is in the URL is filled in (section 3.3.1).

        Raises:
            RequestRefused, DatabaseUnavailable: there is an error page for it.
        """
        code = _read_code(visit.read_query())
        session = await self._find_session(visit)
        if session is None:
            return self._sign_in.show(visit, _entrance(code))
        return self._show_form(visit, session, code)

    async def post(self, visit: Visit) -> web.Response:
        """Take the code, or what the person says to it. Raises as `get` does, and PageRefused."""
        query = visit.read_query()
        form = await visit.read_form()
        code = _read_code(form)
        action = form.get("action")
        session = await self._find_session(visit)
        if action == "sign-in":
            code = _read_code(query)
            if session is not None:  # signed in meanwhile, in another tab
                raise stale(_entrance(code).url)
            return await self._sign_in.answer(visit, form, _entrance(code))
        if session is None:
            return self._sign_in.show(visit, _entrance(code), 403, SignInProblem.STALE)
        if action is None:
            return await self._look_up(visit, form, session, code)
        if action not in ("allow", "deny", "switch-account"):
            raise PageRefused(400, ErrorPage(ErrorKind.BAD_REQUEST))
        if not visit.is_from_page(form, Purpose.DEVICE_CONSENT, code):
            raise stale(_entrance(code).url)
        if action == "switch-account":
            await self._site.transact(lambda connection, _: end_session(connection, visit.cookie))
            response = visit.redirect(_entrance(code).url)
            self._site.cookies.forget_session(response)
            return response
        return await self._decide(visit, session, code, is_allowed=action == "allow")

    async def _look_up(self, visit: Visit, form: Form, session: Session, code: str) -> web.Response:
        if not visit.is_from_page(form, Purpose.DEVICE_CODE, ""):
            return self._show_form(visit, session, code, 403, DeviceCodeProblem.STALE)
        try:
            counted = self._throttle.begin_code(visit.network, session.user_id)
        except Throttled as throttled:
            return self._show_form(
                visit, session, code, 429, DeviceCodeProblem.THROTTLED, throttled.retry_after
            )
        try:
            request, client = await self._site.transact(
                lambda connection, now: self._find(connection, now, code)
            )
        except _NoRequest:
            return self._show_form(visit, session, code, 400, DeviceCodeProblem.UNKNOWN)
        self._throttle.forgive(counted)
        return visit.show(
            DeviceConfirmPage(
                form_action=VERIFICATION_PATH,
                csrf=visit.csrf(Purpose.DEVICE_CONSENT, code),
                username=session.username,
                user_code=code,
                client_name=client.display_name,
                scopes=self._site.describe_scopes(request.scope),
                openings=find_openings(request.scope, self._site.options),
            )
        )

    async def _decide(
        self, visit: Visit, session: Session, code: str, *, is_allowed: bool
    ) -> web.Response:
        # Who is signed in can make the form's token for any code: this is a way to try them, too.
        try:
            counted = self._throttle.begin_code(visit.network, session.user_id)
        except Throttled as throttled:
            return self._show_form(
                visit, session, code, 429, DeviceCodeProblem.THROTTLED, throttled.retry_after
            )

        def decide(connection: Connection, now: int) -> Client:
            request, client = self._find(connection, now, code)
            if is_allowed:
                _approve(connection, now, request, client, session)
            elif not deny_device(connection, request, now):
                raise _NoRequest
            return client

        try:
            client = await self._site.transact(decide)
        except (_NoRequest, IntegrityError):  # answered, expired; the client or person has gone
            return self._show_form(visit, session, code, 400, DeviceCodeProblem.UNKNOWN)
        self._throttle.forgive(counted)
        return visit.show(DeviceDonePage(is_allowed, client.display_name))

    def _find(self, connection: Connection, now: int, code: str) -> tuple[DeviceRequest, Client]:
        """Give the request that waits, as far as its client may still have what it asks for."""
        request = find_device_request(connection, code, now)
        client = find_client(connection, request.client_id) if request is not None else None
        if request is None or client is None or DEVICE_CODE_GRANT not in client.grant_types:
            raise _NoRequest
        if not set(request.scope.split()) <= client.scopes & self._site.options.scopes.keys():
            raise _NoRequest
        return request, client

    async def _find_session(self, visit: Visit) -> Session | None:
        return await self._site.transact(
            lambda connection, now: find_session(connection, visit.cookie, now)
        )

    def _show_form(
        self,
        visit: Visit,
        session: Session,
        code: str,
        status: int = 200,
        problem: DeviceCodeProblem | None = None,
        retry_after: int = 0,
    ) -> web.Response:
        page = DeviceCodePage(
            form_action=VERIFICATION_PATH,
            csrf=visit.csrf(Purpose.DEVICE_CODE, ""),
            username=session.username,
            user_code=code,
            problem=problem,
            retry_after=retry_after,
        )
        headers = {"Retry-After": str(retry_after)} if retry_after else None
        return visit.show(page, status, headers=headers)


def _approve(
    connection: Connection, now: int, request: DeviceRequest, client: Client, session: Session
) -> None:
    """Remember the consent and give the device its family, or nothing of it. Raises _NoRequest."""
    grant = allow(connection, session.user_id, client.id, request.scope, now)
    family = begin_family(
        connection,
        grant,
        client,
        session.user_epoch,
        scope=request.scope,
        audience=request.audience,
        now=now,
        expires_at=request.expires_at,
    )
    if not approve_device(connection, request, family.id, now):
        raise _NoRequest


def _read_code(form: Form) -> str:
    """Give the code as devices show it; "" for none."""
    code = normalize_user_code(form.get("user_code", "")[:100])
    return "" if code == "-" else code[:9]


def _entrance(code: str) -> Entrance:
    return Entrance(f"{VERIFICATION_PATH}?user_code={code}" if code else VERIFICATION_PATH)
