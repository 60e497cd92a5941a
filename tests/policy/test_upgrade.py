"""Which request may become a tunnel, and which answer makes it one."""

from dataclasses import replace

import pytest

from gateway.policy.upgrade import UpgradeFields, accepts_upgrade, asks_for_websocket

ASKED = UpgradeFields(
    connection=["keep-alive, Upgrade"],
    upgrade=["WebSocket"],
    key=["dGhlIHNhbXBsZSBub25jZQ=="],
    version=["13"],
)


def asks(fields: UpgradeFields, method: str = "GET") -> bool:
    return asks_for_websocket(method, fields, speaks_http_1_1=True, has_body=False)


def test_valid_request_asks() -> None:
    assert asks(ASKED)
    assert asks(replace(ASKED, connection=["close", "upgrade"]))


@pytest.mark.parametrize(
    "fields",
    [
        replace(ASKED, connection=[]),
        replace(ASKED, connection=["upgraded"]),
        replace(ASKED, upgrade=[]),
        replace(ASKED, upgrade=["websocket, h2c"]),
        replace(ASKED, upgrade=["websocket", "h2c"]),
        replace(ASKED, key=[]),
        replace(ASKED, key=["dGhlIHNhbXBsZSBub25jZQ"]),
        replace(ASKED, key=["dGhlIHNhbXBsZSBub25jZR=="]),
        replace(ASKED, key=ASKED.key * 2),
        replace(ASKED, version=[]),
        replace(ASKED, version=["thirteen"]),
        replace(ASKED, version=["13", "8"]),
    ],
)
def test_what_lacks_something_does_not_ask(fields: UpgradeFields) -> None:
    assert not asks(fields)


def test_only_get_without_a_body_on_http_1_1_asks() -> None:
    assert not asks(ASKED, "POST")
    assert not asks_for_websocket("GET", ASKED, speaks_http_1_1=False, has_body=False)
    assert not asks_for_websocket("GET", ASKED, speaks_http_1_1=True, has_body=True)


def test_answer_must_name_the_protocol_and_no_other() -> None:
    connection, upgrade = (b"Connection", b"upgrade"), (b"Upgrade", b"WebSocket")
    assert accepts_upgrade([upgrade, connection], b"websocket")
    assert not accepts_upgrade([upgrade], b"websocket")
    assert not accepts_upgrade([connection], b"websocket")
    assert not accepts_upgrade([upgrade, upgrade, connection], b"websocket")
    assert not accepts_upgrade([upgrade, connection], b"other")
