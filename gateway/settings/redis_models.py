"""Redis: the section of the configuration about what several gateways share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from gateway.settings import addresses, scalars
from gateway.settings.findings import Problem
from gateway.settings.secret import Secret
from gateway.settings.section import Settings
from gateway.settings.shapes import Section, Text
from gateway.settings.tls_models import ClientTlsSettings

_PORT: Final = 6379
_DATABASES: Final = 1024


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where a Redis is. `socket` is None where host and port count."""

    host: str
    port: int
    database: int
    has_tls: bool
    socket: Path | None = None


def find_redis(url: str) -> RedisPlace:
    """Take apart a URL that has been read."""
    if url.startswith("unix:"):
        return RedisPlace("localhost", 0, 0, has_tls=False, socket=Path(url.removeprefix("unix:")))
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORT
    number = parts.path.removeprefix("/")
    return RedisPlace(host, port, int(number or 0), has_tls=parts.scheme == "rediss")


def _parse_redis_url(text: str) -> str:
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or path.startswith("//") or not path.isprintable():
            what = "this is not the absolute path of a socket"
            raise Problem("invalid-url", what, "write it as in unix:/run/redis/redis.sock")
        return text
    if "@" in text:
        # Nothing of it is quoted: it may hold a password.
        what = "a name or a password stands in the URL"
        raise Problem("invalid-url", what, "put them into username and password")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Problem("invalid-url", "the URL has no valid port", "write :6379") from None
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        what = "this is the URL of no Redis"
        raise Problem("invalid-url", what, "write redis://host:6379, rediss://… or unix:/path")
    addresses.parse_host(parts.netloc.removesuffix(f":{port}"))
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise Problem("invalid-url", "options follow", "remove the ? or # and all behind it")
    number = parts.path.removeprefix("/")
    if number and not (number.isascii() and number.isdigit() and int(number) < _DATABASES):
        what = "what follows the host is not the number of a database"
        raise Problem("invalid-url", what, "write it as in redis://host:6379/0")
    return text


class RedisSettings(Settings):
    """What several gateways share through one Redis: answers about tokens, and revocations.

    It is trusted with nothing: what stands there counts only with a seal of the fleet's secret.
    """

    url: Annotated[
        str,
        Text(
            "a URL of Redis",
            "rediss://redis.example.com:6379/0",
            _parse_redis_url,
            pattern=r"^(rediss?://[^@?#]+|unix:/.+)$",
        ),
    ] = Field(
        description="Where it is: `redis://host:port/database`, `rediss://` for TLS, or "
        "`unix:/path`. One server with its own failover; neither Cluster nor Sentinel."
    )
    username: Annotated[str | None, scalars.CLIENT_ID] = Field(
        default=None, description="The ACL user; the default one when left out."
    )
    password: Annotated[SecretStr | None, Secret()] = Field(
        default=None, description="That user's password."
    )
    secret: Annotated[SecretStr, Secret()] = Field(
        description="At least 32 characters, the same on every gateway of the fleet and known to "
        "nobody else: it names and seals all that is stored. `openssl rand -hex 32` makes one."
    )
    tls: Annotated[ClientTlsSettings | None, Section(ClientTlsSettings)] = Field(
        default=None, description="For `rediss://`: whom to trust, and who the gateway is."
    )
    timeout: Annotated[float, scalars.duration("1ms", "10s")] = Field(
        default=0.1,
        description="How long a question about a token waits for it, before the authorization "
        "server is asked instead. Once it was silent, no request waits until it answers a probe.",
    )
