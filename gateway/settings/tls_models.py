"""TLS: the sections of the configuration that name certificates."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.settings import scalars
from gateway.settings.section import Settings


class TlsSettings(Settings):
    """A listener that speaks TLS (1.2 and newer). A renewed pair is taken up without a restart."""

    certificate: Annotated[Path, scalars.FILE] = Field(
        description="The PEM file with the certificate, followed by those that vouch for it."
    )
    key: Annotated[Path, scalars.FILE] = Field(
        description="The PEM file with its private key, unencrypted; for the gateway's user alone."
    )


class ClientTlsSettings(Settings):
    """Whom to trust behind `https://`, and who the gateway is over there; read at start."""

    ca: Annotated[Path | None, scalars.FILE] = Field(
        default=None,
        description="The PEM file with the authorities that may vouch for the servers, and no "
        "others; the system's when left out.",
    )
    certificate: Annotated[Path | None, scalars.FILE] = Field(
        default=None, description="The PEM file with the gateway's own certificate."
    )
    key: Annotated[Path | None, scalars.FILE] = Field(
        default=None, description="The PEM file with that one's private key, unencrypted."
    )


class UpstreamTlsSettings(ClientTlsSettings):
    """Whom to trust behind `https://` servers, and who the gateway is to them; read at start."""

    server_name: Annotated[str | None, scalars.ROUTE_HOST] = Field(
        default=None,
        description="The name that the servers' certificates must be good for, in place of the "
        "host by which each stands in `servers`.",
    )
