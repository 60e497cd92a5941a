"""Which request may turn its connection into a tunnel (RFC 6455, section 4.2.1; RFC 9110, 7.8).

Rule: whatever is not plainly such a request goes on as an ordinary one, without its Upgrade. h2c is
never passed: behind it stands a second protocol whose requests nobody would judge.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.policy.headers import HeaderPair

WEBSOCKET = "websocket"
# 16 bytes in base64.
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")


@dataclass(frozen=True, slots=True)
class UpgradeFields:
    """The fields of a request that ask for another protocol, each with all its lines."""

    connection: Sequence[str]
    upgrade: Sequence[str]
    key: Sequence[str]
    version: Sequence[str]


def asks_for_websocket(
    method: str, fields: UpgradeFields, *, speaks_http_1_1: bool, has_body: bool
) -> bool:
    """Say whether a request is the valid beginning of a WebSocket connection."""
    return (
        method == "GET"
        and speaks_http_1_1
        and not has_body
        and [value.lower() for value in fields.upgrade] == [WEBSOCKET]
        and _names_upgrade(fields.connection)
        and len(fields.key) == 1
        and _KEY.fullmatch(fields.key[0]) is not None
        and len(fields.version) == 1
        and fields.version[0].isascii()
        and fields.version[0].isdigit()
    )


def accepts_upgrade(headers: Sequence[HeaderPair], protocol: bytes) -> bool:
    """Say whether the fields of an upstream's 101 name this protocol, and no other."""
    upgrade = [value.strip(b" \t").lower() for name, value in headers if name.lower() == b"upgrade"]
    connection = [
        value.decode("latin-1") for name, value in headers if name.lower() == b"connection"
    ]
    return upgrade == [protocol] and _names_upgrade(connection)


def _names_upgrade(connection: Sequence[str]) -> bool:
    return any(
        option.strip(" \t").lower() == "upgrade"
        for value in connection
        for option in value.split(",")
    )
