"""What a route can change of requests and answers: its sections of the configuration."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, SecretStr

from gateway.settings.headers import HEADER_NAME, HEADER_TEXT, HeaderValue
from gateway.settings.section import Settings
from gateway.settings.shapes import Items, Table


class RequestHeaderSettings(Settings):
    """Headers of requests on their way to the upstream."""

    set: Annotated[Mapping[str, SecretStr], Table(HEADER_NAME, HeaderValue())] = Field(
        default_factory=dict,
        description="Headers that the upstream gets with these values alone: what the client sent "
        "under the name, in any spelling, never crosses. A value is text, `{env: NAME}` or "
        "`{file: PATH}`, such as the upstream's own `Authorization: Basic …`.",
    )
    add: Annotated[Mapping[str, SecretStr], Table(HEADER_NAME, HeaderValue())] = Field(
        default_factory=dict,
        description="Headers that the upstream gets besides those of the client.",
    )
    remove: Annotated[tuple[str, ...], Items(HEADER_NAME)] = Field(
        default=(), description="Headers of the client, in any spelling, that stop here."
    )


class ResponseHeaderSettings(Settings):
    """Headers of the upstream's answers on their way to the client; refusals have their own."""

    set: Annotated[Mapping[str, str], Table(HEADER_NAME, HEADER_TEXT)] = Field(
        default_factory=dict,
        description="Headers that the client gets with these values alone, whatever the upstream "
        "sent under the name.",
    )
    add: Annotated[Mapping[str, str], Table(HEADER_NAME, HEADER_TEXT)] = Field(
        default_factory=dict,
        description="Headers that the client gets besides those of the upstream.",
    )
    remove: Annotated[tuple[str, ...], Items(HEADER_NAME)] = Field(
        default=(), description="Headers of the upstream that stop here."
    )
