"""What can be set. The JSON Schema and the reference page are made from these models.

A key stands here only if the gateway enforces it. Each field's annotation carries its shape, which
reads the key from the file; each description completes the sentence "This key is …" for operators.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.policy.addresses import IPNetwork
from gateway.policy.path import LIFTABLE_KINDS
from gateway.settings import literals, scalars
from gateway.settings.adaptation_models import (
    CorsSettings,
    IdentitySettings,
    RequestHeaderSettings,
    ResponseHeaderSettings,
)
from gateway.settings.addresses import Address, ListenAddress, TrustedPeer
from gateway.settings.authorization_server_models import AuthorizationServerSettings
from gateway.settings.limit_models import (
    ClientTimeoutSettings,
    LimitSettings,
    RouteLimitSettings,
)
from gateway.settings.one_or_more import OneOrMore
from gateway.settings.redis_models import RedisSettings
from gateway.settings.route_models import (
    MatchSettings,
    RateLimitSettings,
    RequireSettings,
    SharedRateLimitSettings,
    TunnelSettings,
)
from gateway.settings.section import Settings
from gateway.settings.shapes import Derived, Items, Section, Table
from gateway.settings.tls_models import TlsSettings, UpstreamTlsSettings

AccessLog = Literal["all", "refusals", "none"]
LogFormat = Literal["auto", "json", "text"]


class IntrospectionCacheSettings(Settings):
    """How long what an authorization server said of a token is remembered."""

    max_lifetime: Annotated[float, scalars.duration("1ms", "1h")] = Field(
        default=60.0,
        description="How long an active token is remembered, less up to a tenth, so that not all "
        "are asked about at once; never past the token's own expiry. A token in use is asked about "
        "in the last tenth, and no request waits for it.",
    )
    stale_if_error: Annotated[float | None, scalars.duration("1s", "24h")] = Field(
        default=None,
        description="For how much longer an active token is taken while its authorization server "
        "cannot say; never past its own expiry, never when it was revoked. Nothing when left out.",
    )
    negative_lifetime: Annotated[float, scalars.duration("1ms", "10m")] = Field(
        default=5.0, description="How long an inactive token is remembered."
    )
    max_entries: Annotated[int, literals.WholeNumber(1, 10_000_000)] = Field(
        default=100_000, description="How many active tokens are remembered at most."
    )


_CONNECT = scalars.duration("1ms", "60s")
_WAIT = scalars.duration("1ms", "1h")
_TOTAL = scalars.duration("1ms", "24h")


class UpstreamTimeoutSettings(Settings):
    """How long the gateway waits for an upstream."""

    connect: Annotated[float, _CONNECT] = Field(
        default=2.0,
        description="How long connecting to a server may take; after that, 504. And how long a "
        "request waits for a connection when all are taken; after that, 503.",
    )
    response: Annotated[float, _WAIT] = Field(
        default=30.0,
        description="How long the head of the answer may take to arrive once the request is sent, "
        "and how long the upstream may take to accept each piece of the request's body; after "
        "that, 504.",
    )
    idle: Annotated[float, _WAIT] = Field(
        default=60.0,
        description="The longest gap between two pieces of the answer's body; after it, the answer "
        "is broken off.",
    )
    total: Annotated[float | None, _TOTAL] = Field(
        default=None,
        description="How long a request and its whole answer may take; after that 504 (503 while "
        "all connections are taken), or the answer is broken off. Without it, only the others "
        "count. Tunnels have no such bound.",
    )


class RouteTimeoutSettings(Settings):
    """How long the gateway waits for the upstream on this route, where that differs."""

    connect: Annotated[float | None, _CONNECT] = Field(
        default=None, description="In place of the upstream's `timeouts.connect`."
    )
    response: Annotated[float | None, _WAIT] = Field(
        default=None, description="In place of the upstream's `timeouts.response`."
    )
    idle: Annotated[float | None, _WAIT] = Field(
        default=None, description="In place of the upstream's `timeouts.idle`."
    )
    total: Annotated[float | None, _TOTAL] = Field(
        default=None, description="In place of the upstream's `timeouts.total`."
    )


class UpstreamLimitSettings(Settings):
    """How much an upstream is asked for at one time."""

    connections: Annotated[int, literals.WholeNumber(1, 100_000)] = Field(
        default=8000,
        description="The most connections to each of its servers; fewer where a service stands "
        "less, and the others wait.",
    )
    waiting: Annotated[int, literals.WholeNumber(0, 100_000)] = Field(
        default=1024,
        description="How many requests may wait for a connection when all are taken; more are 503.",
    )


class HealthCheckSettings(Settings):
    """A question to each server, at intervals; after two failures it gets no requests."""

    path: Annotated[str, scalars.CHECK_PATH] = Field(
        description="What is asked for with GET; any answer below 400 is healthy."
    )
    host: Annotated[
        str | None, scalars.ROUTE_HOST, Derived("that by which each stands in `servers`")
    ] = Field(default=None, description="The Host that is asked for.")
    interval: Annotated[float, scalars.duration("100ms", "1h")] = Field(
        default=5.0, description="The time between two questions."
    )
    timeout: Annotated[float, scalars.duration("10ms", "60s")] = Field(
        default=2.0, description="How long the answer may take."
    )


class UpstreamSettings(Settings):
    """A service behind the gateway."""

    servers: Annotated[
        tuple[str, ...], Items(scalars.UPSTREAM_SERVER, if_empty="write [http://host:port]")
    ] = Field(
        description="Where it runs: `http://host:port`, `https://host` or `unix:/path`. Several "
        "share the load; one that fails is left out for a while. A name is looked up again every "
        "10 seconds."
    )
    timeouts: UpstreamTimeoutSettings = Field(
        default_factory=UpstreamTimeoutSettings, description="How long to wait for it."
    )
    limits: UpstreamLimitSettings = Field(
        default_factory=UpstreamLimitSettings, description="How much it is asked for at one time."
    )
    reuse_after_body: Annotated[bool, literals.Switch()] = Field(
        default=False,
        description="Uses a connection again that a request's body went through. Only where the "
        "servers read every body to its end, whatever they answer: one that is not read is their "
        "next request, which nobody has judged. Not after GET, HEAD, OPTIONS and DELETE in any "
        "case.",
    )
    tls: Annotated[UpstreamTlsSettings | None, Section(UpstreamTlsSettings)] = Field(
        default=None,
        description="Whom to trust where the servers are `https://`. Without it: those whom the "
        "system trusts, each under the name that stands in `servers`.",
    )
    health_check: Annotated[HealthCheckSettings | None, Section(HealthCheckSettings)] = Field(
        default=None,
        description="Asks its servers how they are. Without it, only requests tell.",
    )


_NO_LIMITS = "write [{per: client, limit: 100/1m}], or leave the key out"


class RouteSettings(Settings):
    """A route: which requests, to which upstream, and what opens it (`require` or `public`)."""

    name: Annotated[str, scalars.NAME] = Field(
        description="Its name in logs, metrics and `gateway explain`. Each route has its own.",
    )
    match: MatchSettings = Field(description="Which requests it is for.")
    upstream: Annotated[str, scalars.NAME, Derived("the only upstream")] = Field(
        description="The upstream that the requests go to.",
    )
    authorization_server: Annotated[
        tuple[str, ...],
        OneOrMore(
            scalars.NAME, 16, "name one, or leave the key out", "name fewer, and add another route"
        ),
        Derived("the only authorization server"),
    ] = Field(
        default=(),
        description="Who vouches for the tokens: one, or a list of which each token chooses by its "
        "form and its issuer. On a public route, whose tokens stop here.",
    )
    require: Annotated[RequireSettings | None, Section(RequireSettings)] = Field(
        default=None, description="What a token must have; `{}` means any active token."
    )
    public: Annotated[
        bool, literals.Switch(if_false="remove the key and write require: {…} instead")
    ] = Field(default=False, description="Lets every request through, without a token.")
    rate_limits: Annotated[
        tuple[RateLimitSettings, ...],
        Items(Section(RateLimitSettings), if_empty=_NO_LIMITS, is_unique=False),
    ] = Field(
        default=(),
        description="How many requests there may be here; more are 429 with Retry-After, and every "
        "answer has RateLimit-Policy and RateLimit.",
    )
    networks: Annotated[
        tuple[IPNetwork, ...],
        Items(scalars.CLIENTS, if_empty="name the networks, or leave the key out for all of them"),
    ] = Field(
        default=(),
        description="Networks and addresses of the clients that may pass, with a token or on a "
        "public route; others are 403 before anybody is asked about a token. Behind "
        "`trusted_proxies` the address is what these say in X-Forwarded-For; a client whose "
        "address is not known, as on a unix socket, does not pass.",
    )
    token_cookie: Annotated[str | None, scalars.COOKIE_NAME] = Field(
        default=None,
        description="A cookie that may hold the token, where there is no Authorization header. The "
        "upstream neither sees nor sets it, not even with `forward_token`. Requests with it that "
        "may change something (all but GET, HEAD, OPTIONS, TRACE) or open a WebSocket need an "
        "Origin: the request's own, or one of `cors`; else 403.",
    )
    forward_token: Annotated[bool, literals.Switch()] = Field(
        default=False, description="Lets the upstream see the bearer token, which else stops here."
    )
    allow_in_path: Annotated[
        tuple[str, ...],
        Items(
            scalars.choice(*LIFTABLE_KINDS),
            if_empty="name what its paths may have, or leave the key out",
        ),
    ] = Field(
        default=(),
        description="What its paths may have, though not every service reads it in the same way: "
        "`encoded_slash` is `%2F` and `%5C`, `semicolon` is `;`, `empty_segment` is `//`, "
        "`encoded_reserved` is `%3F`, `%23` and `%3B`, `non_utf8` is what EUC-KR or Latin-1 "
        "escapes leave. It arrives as it was sent, and only `{name}` and `**` match a segment that "
        "has it, `**` alone an empty one. All else that is ambiguous is 400.",
    )
    upgrade: Annotated[
        tuple[str, ...],
        Items(scalars.choice("websocket"), if_empty="write [websocket], or leave the key out"),
    ] = Field(
        default=(),
        description="Protocols that a connection may switch to: `[websocket]`, or none. It is "
        "closed at once when its token is revoked, and within `tunnels.check` when it expires.",
    )
    tunnels: TunnelSettings = Field(
        default_factory=TunnelSettings, description="How long connections that switched may last."
    )
    forward_host: Annotated[str, scalars.FORWARD_HOST] = Field(
        default="keep",
        description="The Host that the upstream gets: the client's (`keep`), the upstream's own "
        "(`upstream`), or another. X-Forwarded-Host is the client's in any case.",
    )
    forward_path: Annotated[str | None, scalars.FORWARD_PATH] = Field(
        default=None,
        description="The path that the upstream gets, written with the names of `match.path` and a "
        "last `**` if that has one; its own path when left out. The slash at its end and the query "
        "are the request's.",
    )
    timeouts: RouteTimeoutSettings = Field(
        default_factory=RouteTimeoutSettings, description="How long to wait for the upstream here."
    )
    limits: RouteLimitSettings = Field(
        default_factory=RouteLimitSettings, description="How large a request may be here."
    )
    secure_cookies: Annotated[bool, literals.Switch()] = Field(
        default=False,
        description="Adds `Secure` to the upstream's cookies when the client came by https.",
    )
    request_headers: RequestHeaderSettings = Field(
        default_factory=RequestHeaderSettings,
        description="What the upstream gets in other headers than the client sent.",
    )
    identity: IdentitySettings = Field(
        default_factory=IdentitySettings,
        description="What the upstream learns of who asks, in headers of its own liking.",
    )
    response_headers: ResponseHeaderSettings = Field(
        default_factory=ResponseHeaderSettings,
        description="What the client gets in other headers than the upstream sent.",
    )
    cors: Annotated[CorsSettings | None, Section(CorsSettings)] = Field(
        default=None,
        description="Which pages of other origins may use the route from a browser. Preflights are "
        "answered by the gateway, without a token; what the upstream says of origins is replaced.",
    )


class GatewaySettings(Settings):
    """The configuration of the gateway. Relative paths count from the file's own folder."""

    listen: Annotated[
        tuple[ListenAddress, ...],
        OneOrMore(
            scalars.LISTEN_OR_UNIX,
            at_most=32,
            if_empty="write [127.0.0.1:8080], or remove the key",
            if_more='write 0.0.0.0:8080 and "[::]:8080" for every address of this machine',
        ),
    ] = Field(
        default=(Address("127.0.0.1", 8080),),
        description="Where clients connect; port 0 lets the system pick one. `[::]:8080` takes "
        "IPv6 alone, `0.0.0.0:8080` IPv4 alone. Or `unix:/path`: a socket, with mode 0660, for a "
        "proxy on this machine. A list is all of them at once, under the same `tls` and `limits`.",
    )
    admin_listen: Annotated[Address, scalars.LISTEN] = Field(
        default=Address("127.0.0.1", 9090),
        description="Where the operator finds metrics and health; never for clients.",
    )
    tls: Annotated[TlsSettings | None, Section(TlsSettings)] = Field(
        default=None, description="The certificate of `listen`, for https; else plain http."
    )
    public_url: Annotated[
        str,
        scalars.PUBLIC_ORIGIN,
        Derived(
            "the first address with a port in `listen`, unless that is every interface, or "
            "loopback beside one that is not; `https://` with `tls`"
        ),
    ] = Field(description="The origin by which clients reach the gateway. No path.")
    state_dir: Annotated[Path, scalars.FOLDER] = Field(
        default=Path("state"),
        description="The folder for databases and sockets; created with mode 0700.",
    )
    workers: Annotated[
        int | Literal["auto"], literals.WholeNumberOr(literals.WholeNumber(1, 1024), "auto")
    ] = Field(
        default=1,
        description="How many processes serve; `auto` is one for each core that the gateway may "
        "use. More than one share the connections and are replaced when they crash.",
    )
    trusted_proxies: Annotated[tuple[TrustedPeer, ...], Items(scalars.TRUSTED)] = Field(
        default=(),
        description="Networks whose X-Forwarded-For and X-Forwarded-Proto are believed; `unix` is "
        "whoever connects to a unix socket. Their X-Forwarded-Host, X-Forwarded-Prefix and "
        "Forwarded go on to upstreams, so they must set them or take away what clients send.",
    )
    authorization_servers: Annotated[
        Mapping[str, AuthorizationServerSettings],
        Table(scalars.NAME, Section(AuthorizationServerSettings)),
    ] = Field(
        default_factory=dict,
        description="Who vouches for tokens, by a name of your choice.",
    )
    introspection_cache: IntrospectionCacheSettings = Field(
        default_factory=IntrospectionCacheSettings,
        description="How long answers about tokens are remembered.",
    )
    redis: Annotated[RedisSettings | None, Section(RedisSettings)] = Field(
        default=None,
        description="What several gateways share; without it, each asks and forgets by itself.",
    )
    upstreams: Annotated[
        Mapping[str, UpstreamSettings],
        Table(scalars.NAME, Section(UpstreamSettings), if_empty="name a service: {servers: […]}"),
    ] = Field(description="The services behind the gateway, by a name of your choice.")
    rate_limits: Annotated[
        tuple[SharedRateLimitSettings, ...],
        Items(Section(SharedRateLimitSettings), if_empty=_NO_LIMITS, is_unique=False),
    ] = Field(
        default=(),
        description="How many requests somebody may make over all routes together, beside what "
        "each route says. With `redis` all gateways count together; without it, or while it does "
        "not answer, each worker counts by itself, in memory, for up to 50000 addresses, clients "
        "and people each: beyond, who asked longest ago begins anew.",
    )
    limits: LimitSettings = Field(
        default_factory=LimitSettings,
        description="How large a request may be, and how many connections there may be.",
    )
    timeouts: ClientTimeoutSettings = Field(
        default_factory=ClientTimeoutSettings, description="How long to wait for clients."
    )
    access_log: Annotated[AccessLog, scalars.choice("all", "refusals", "none")] = Field(
        default="all", description="Which requests are logged."
    )
    log_format: Annotated[LogFormat, scalars.choice("auto", "json", "text")] = Field(
        default="auto",
        description="JSON lines, or text for people; `auto` is text on a terminal, else JSON.",
    )
    routes: Annotated[
        tuple[RouteSettings, ...],
        Items(Section(RouteSettings), if_empty="write at least one route", is_unique=False),
    ] = Field(description="What is let through. Whatever no route matches is 404.")
