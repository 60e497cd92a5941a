"""What a route can change of requests and answers: its sections of the configuration."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from gateway.settings import literals, scalars
from gateway.settings.headers import (
    FIELD_NAME,
    HEADER_NAME,
    HEADER_TEXT,
    IDENTITY_TEMPLATE,
    HeaderValue,
)
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


class IdentitySettings(Settings):
    """What the upstream learns of who asks, beside `X-Auth-…`; stripped from clients everywhere."""

    headers: Annotated[Mapping[str, str], Table(HEADER_NAME, IDENTITY_TEMPLATE)] = Field(
        default_factory=dict,
        description="Headers with the claims of the token in braces, as in `Remote-User: "
        '"{username}"`; several values stand with commas. Without one of its claims there is no '
        "header. `{sub}` is there for people alone, never for clients.",
    )
    encoding: Annotated[Literal["utf8", "percent"], scalars.choice("utf8", "percent")] = Field(
        default="utf8",
        description="How claims are written. `utf8`: as they are; what a header cannot carry, such "
        "as a line break, makes no header. `percent`: all but letters, digits and `._~@-` as `%XX` "
        "of UTF-8, which text around them needs.",
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


class CorsSettings(Settings):
    """Which pages of other origins may use the route from a browser (WHATWG Fetch)."""

    origins: Annotated[
        tuple[str, ...], Items(scalars.PAGE_ORIGIN, if_empty='name them, or write ["*"] for all')
    ] = Field(description='The origins, exactly as browsers have them; `["*"]` is every one.')
    methods: Annotated[tuple[str, ...] | None, Items(scalars.METHOD, if_empty="name some")] = Field(
        default=None, description="The methods that they may use; all of the route when left out."
    )
    headers: Annotated[tuple[str, ...], Items(FIELD_NAME)] = Field(
        default=("Authorization", "Content-Type"),
        description="The headers that they may send besides those that every page may.",
    )
    expose: Annotated[tuple[str, ...], Items(FIELD_NAME)] = Field(
        default=(), description="The headers of answers that they may read besides the usual ones."
    )
    credentials: Annotated[bool, literals.Switch()] = Field(
        default=False, description="Lets browsers send cookies along."
    )
    max_age: Annotated[float, scalars.duration("1s", "24h", whole_seconds=True)] = Field(
        default=600.0, description="How long a browser may remember the answer to a preflight."
    )
