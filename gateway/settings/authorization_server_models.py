"""Who vouches for tokens: the sections of the configuration about authorization servers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from gateway.settings import literals, people, scalars
from gateway.settings.addresses import Address
from gateway.settings.database import DatabaseUrl
from gateway.settings.secret import Secret
from gateway.settings.section import Settings
from gateway.settings.shapes import Derived, Items, Section, Table
from gateway.settings.tls_models import ClientTlsSettings, TlsSettings
from gateway.settings.verification_keys import SIGNATURE_ALGORITHMS

ClientAuthentication = Literal[
    "client_secret_basic", "client_secret_post", "private_key_jwt", "bearer_token"
]


class BrandSettings(Settings):
    """What the pages for people look like."""

    name: Annotated[str, people.BRAND_NAME] = Field(
        default="Gateway", description="The name at the head of every page."
    )
    color: Annotated[str, people.COLOR] = Field(
        default="#2457c5",
        description="The colour of buttons and links, `#rrggbb` or `#rgb`, in quotes; where it "
        "would be hard to read, a darker or lighter one is shown.",
    )


class EmbeddedSettings(Settings):
    """The authorization server that comes with the gateway, on a listener of its own."""

    listen: Annotated[Address, scalars.LISTEN] = Field(
        default=Address("127.0.0.1", 8081),
        description="Where it listens: an address of its own, never shared with what it guards.",
    )
    tls: Annotated[TlsSettings | None, Section(TlsSettings)] = Field(
        default=None, description="The certificate of `listen`, for https; else plain http."
    )
    issuer: Annotated[
        str, scalars.EMBEDDED_ISSUER, Derived("`listen`, where that is loopback or speaks TLS")
    ] = Field(
        description="The origin by which clients know it; https, or http on loopback. No path.",
    )
    database: Annotated[SecretStr, DatabaseUrl()] = Field(
        default=SecretStr("sqlite:///gateway.db"),
        description="Where people, clients and tokens are stored: a SQLite file, relative to "
        "`state_dir`; or, for several gateways, `postgresql://user:password@host:port/name`, which "
        "`{env: NAME}` and `{file: PATH}` keep out of this file.",
    )
    access_token_lifetime: Annotated[float, scalars.duration("1s", "24h", whole_seconds=True)] = (
        Field(
            default=600.0,
            description="How long an access token is good for, in whole seconds, unless its client "
            "has a lifetime of its own.",
        )
    )
    refresh_token_lifetime: Annotated[
        float, scalars.duration("1m", "8784h", whole_seconds=True)
    ] = Field(
        default=720 * 3600.0,
        description="How long a refresh token waits for its use, which gives the next one; unless "
        "its client has a lifetime of its own.",
    )
    session_lifetime: Annotated[float, scalars.duration("1m", "720h", whole_seconds=True)] = Field(
        default=12 * 3600.0,
        description="How long a person stays signed in to a browser.",
    )
    scopes: Annotated[
        Mapping[str, Mapping[str, str]], Table(scalars.SCOPE, people.Descriptions())
    ] = Field(
        default_factory=dict,
        description="The scopes that clients may be given, each with words for people: one text, "
        "or `{en: …, ko: …}`.",
    )
    brand: BrandSettings = Field(
        default_factory=BrandSettings, description="Whose the pages are that people see."
    )


class IntrospectionTimeoutSettings(Settings):
    """How long a foreign authorization server may take."""

    connect: Annotated[float, scalars.duration("10ms", "60s")] = Field(
        default=1.0, description="How long connecting to it may take."
    )
    total: Annotated[float, scalars.duration("10ms", "60s")] = Field(
        default=2.0, description="How long one answer may take, with all that comes before it."
    )


class IntrospectionSettings(Settings):
    """A foreign authorization server that is asked about every token (RFC 7662)."""

    issuer: Annotated[str, scalars.FOREIGN_ISSUER] = Field(
        description="Its issuer identifier, exactly as its tokens and metadata have it.",
    )
    url: Annotated[
        str | None,
        scalars.INTROSPECTION_URL,
        Derived("what the metadata of `issuer` says (RFC 8414, or OpenID Connect's)"),
    ] = Field(
        default=None,
        description="Its introspection endpoint; https, or http on loopback.",
    )
    authentication: Annotated[
        ClientAuthentication,
        scalars.choice(
            "client_secret_basic", "client_secret_post", "private_key_jwt", "bearer_token"
        ),
    ] = Field(
        default="client_secret_basic",
        description="How the gateway says who it is: with its secret in the head or in the form "
        "(RFC 6749, section 2.3.1), with an assertion that it signs (RFC 7523), or with a token.",
    )
    client_id: Annotated[str | None, scalars.CLIENT_ID] = Field(
        default=None,
        description="The client that the gateway authenticates as; not with `bearer_token`.",
    )
    client_secret: Annotated[SecretStr | None, Secret()] = Field(
        default=None,
        description="That client's secret: `{env: NAME}`, `{file: PATH}` or the text itself.",
    )
    private_key: Annotated[Path | None, scalars.FILE] = Field(
        default=None,
        description="For `private_key_jwt`, the PEM file with the key: RSA (signs RS256), P-256 "
        "(ES256) or P-384 (ES384), unencrypted.",
    )
    bearer_token: Annotated[SecretStr | None, Secret()] = Field(
        default=None,
        description="For `bearer_token`, the access token that allows the gateway to ask.",
    )
    timeouts: IntrospectionTimeoutSettings = Field(
        default_factory=IntrospectionTimeoutSettings,
        description="How long to wait for it; after that, requests are refused with 503.",
    )
    calls: Annotated[int, literals.WholeNumber(1, 10_000)] = Field(
        default=64,
        description="How many questions are on their way to it at the same time, at most; others "
        "wait, within their own time.",
    )
    tls: Annotated[ClientTlsSettings | None, Section(ClientTlsSettings)] = Field(
        default=None, description="Whom to trust over there, and who the gateway is."
    )


class JwtSettings(Settings):
    """A foreign authorization server whose tokens are JWTs that are checked here (RFC 9068)."""

    issuer: Annotated[str, scalars.FOREIGN_ISSUER] = Field(
        description="Its issuer identifier, exactly as its tokens have it in `iss`.",
    )
    audience: Annotated[str, scalars.AUDIENCE] = Field(
        description="What tokens for these services have in `aud`; all others are refused.",
    )
    jwks_uri: Annotated[
        str | None,
        scalars.JWKS_URL,
        Derived("what the metadata of `issuer` says (RFC 8414, or OpenID Connect's)"),
    ] = Field(
        default=None,
        description="Where its public keys are (RFC 7517); https, or http on loopback.",
    )
    jwks: Annotated[Path | None, scalars.KEY_SET_FILE] = Field(
        default=None,
        description="In place of `jwks_uri`, a file with its public keys; it may be replaced while "
        "the gateway runs.",
    )
    algorithms: Annotated[
        tuple[str, ...],
        Items(
            scalars.choice(*SIGNATURE_ALGORITHMS),
            if_empty="name the algorithms, or leave the key out",
        ),
    ] = Field(
        default=("RS256", "PS256", "ES256", "ES384", "EdDSA"),
        description="The signature algorithms that are taken (RFC 7518, RFC 8037). With a shared "
        "secret, or with none, there is no choice.",
    )
    token_type: Annotated[Literal["rfc9068", "any"], scalars.choice("rfc9068", "any")] = Field(
        default="rfc9068",
        description="What `typ` in a token's header must be: `rfc9068` takes `at+jwt` alone; `any` "
        "plain `JWT`s and none, too, for issuers whose access tokens have nothing of their own. "
        "ID, logout and refresh tokens are refused by their claims, as far as these tell.",
    )
    leeway: Annotated[float, scalars.duration("0s", "60s")] = Field(
        default=5.0,
        description="How far the issuer's clock may be off: added to `exp`, taken from `nbf` and "
        "`iat`.",
    )
    refresh: Annotated[float, scalars.duration("10s", "24h")] = Field(
        default=300.0,
        description="How old the keys may get before they are fetched anew, while requests go on. "
        "For a key that is not known they are fetched at once, every 10 seconds at most.",
    )
    maximum_age: Annotated[float, scalars.duration("10s", "720h")] = Field(
        default=24 * 3600.0,
        description="How long keys are used while they cannot be fetched; after that, requests are "
        "refused with 503.",
    )
    timeouts: IntrospectionTimeoutSettings = Field(
        default_factory=IntrospectionTimeoutSettings,
        description="How long to wait for keys.",
    )
    tls: Annotated[ClientTlsSettings | None, Section(ClientTlsSettings)] = Field(
        default=None, description="Whom to trust over there, and who the gateway is."
    )


class AuthorizationServerSettings(Settings):
    """Who vouches for tokens: exactly one of `embedded`, `introspection` and `jwt`."""

    embedded: Annotated[EmbeddedSettings | None, Section(EmbeddedSettings)] = Field(
        default=None,
        description="The authorization server that comes with the gateway. At most one has it.",
    )
    introspection: Annotated[IntrospectionSettings | None, Section(IntrospectionSettings)] = Field(
        default=None, description="A foreign authorization server, asked by RFC 7662."
    )
    jwt: Annotated[JwtSettings | None, Section(JwtSettings)] = Field(
        default=None,
        description="A foreign authorization server whose JWTs are checked here, by its keys.",
    )
