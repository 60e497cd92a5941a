"""TLS of a listener: the section of the configuration that names its certificate."""

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
