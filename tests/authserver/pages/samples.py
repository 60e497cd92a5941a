"""One of every page, and of every state that changes how a page looks."""

from collections.abc import Mapping

from gateway.authserver.options import Opening
from gateway.authserver.pages.models import (
    AccountPage,
    ConnectedApp,
    ConsentPage,
    DeviceCodePage,
    DeviceCodeProblem,
    DeviceConfirmPage,
    DeviceDonePage,
    ErrorKind,
    ErrorPage,
    Page,
    ScopeLine,
    SignedOutPage,
    SignInPage,
    SignInProblem,
)

LONG_NAME = "Extraordinarily Long Name Of A Client Without Any Sense For Spacing " * 2
LONG_WORD = "W" * 100


def _opening(*methods: str, address: str) -> Opening:
    return Opening(methods, address, frozenset(), frozenset())


SCOPES = (
    ScopeLine("orders:read", {"en": "See your orders", "ko": "주문 내역 보기"}),
    ScopeLine(
        "orders:write",
        {
            "en": "Place, change and cancel orders in your name",
            "ko": "회원님 이름으로 주문하고, 주문을 변경하거나 취소하기",
        },
    ),
    ScopeLine("profile", {}),
)
MANY_SCOPES = (
    *SCOPES,
    ScopeLine(LONG_WORD, {}),
    *(ScopeLine(f"report:{n}", {"": f"See report {n} of the whole company"}) for n in range(6)),
)
OPENINGS = (
    _opening("GET", address="/orders/**"),
    _opening("POST", "PUT", "DELETE", address="/orders/number"),
    _opening(address="api.example.com/profile"),
)
MANY_OPENINGS = (*OPENINGS, *(_opening("GET", address=f"/{LONG_WORD}/{n}") for n in range(9)))

PAGES: Mapping[str, Page] = {
    "sign-in": SignInPage("/here", "csrf", client_name="Order desk"),
    "sign-in-to-account": SignInPage("/here", "csrf"),
    **{
        f"sign-in-{problem.value}": SignInPage(
            "/here", "csrf", client_name="Order desk", username="alice", problem=problem
        )
        for problem in SignInProblem
    },
    "sign-in-wait": SignInPage("/here", "csrf", problem=SignInProblem.THROTTLED, retry_after=130),
    "sign-in-long": SignInPage("/here", "csrf", client_name=LONG_WORD),
    "consent": ConsentPage(
        "/here", "csrf", "alice", "Order desk", "desk.example.com", SCOPES, OPENINGS
    ),
    "consent-long": ConsentPage(
        "/here", "csrf", LONG_WORD, LONG_NAME, LONG_WORD, MANY_SCOPES, MANY_OPENINGS
    ),
    "consent-here": ConsentPage(
        "/here", "csrf", "alice", "gateway", "127.0.0.1:43512", SCOPES[:1], OPENINGS[:1]
    ),
    "consent-nothing": ConsentPage("/here", "csrf", "alice", LONG_WORD, "desk.example.com", ()),
    "device-code": DeviceCodePage("/here", "csrf", "alice"),
    **{
        f"device-code-{problem.value}": DeviceCodePage(
            "/here", "csrf", "alice", user_code="ABCD-EFGH", problem=problem, retry_after=60
        )
        for problem in DeviceCodeProblem
    },
    "device-confirm": DeviceConfirmPage(
        "/here", "csrf", "alice", "WDJB-MJHT", "Order desk", SCOPES, OPENINGS
    ),
    "device-confirm-long": DeviceConfirmPage(
        "/here", "csrf", LONG_WORD, "WDJB-MJHT", LONG_WORD, MANY_SCOPES, MANY_OPENINGS
    ),
    "device-allowed": DeviceDonePage(is_allowed=True, client_name="Order desk"),
    "device-denied": DeviceDonePage(is_allowed=False, client_name="Order desk"),
    "account": AccountPage(
        "/here",
        "/out",
        "csrf",
        "alice",
        apps=(
            ConnectedApp("order-desk", "Order desk", SCOPES, 1741046400),
            ConnectedApp("cli", "gateway login", SCOPES[:1], 1700000000),
            ConnectedApp("long", LONG_WORD, (), 1700000000),
        ),
        revoked="Old app",
    ),
    "account-empty": AccountPage("/here", "/out", "csrf", "alice"),
    "signed-out": SignedOutPage(),
    **{
        f"error-{kind.value.replace('_', '-')}": ErrorPage(
            kind,
            error="invalid_request",
            description="What a developer wants to know.",
            client_name="Order desk",
            retry_url="/account",
        )
        for kind in ErrorKind
    },
    "error-bare": ErrorPage(ErrorKind.NOT_FOUND),
}
