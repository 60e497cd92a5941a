"""What a route is and what it demands, in the form that requests meet."""

from dataclasses import dataclass, field

from gateway.policy.adaptation import Adaptation
from gateway.policy.admission import Admission

ClaimValue = str | int | bool


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a token must have. An empty one is met by every active token of the right issuer.

    `scopes`: all of them. `any_scope`: at least one. `has_wildcards`: a `*` in a scope of the token
    is a wildcard (`policy/scopes.py`). `audience`: must be among the token's.
    `claims`: pairs of a name and the values of which one must hold; types compare strictly, and a
    claim that is a list holds when one of its members does.
    """

    scopes: frozenset[str] = frozenset()
    any_scope: frozenset[str] = frozenset()
    has_wildcards: bool = False
    audience: str | None = None
    claims: tuple[tuple[str, tuple[ClaimValue, ...]], ...] = ()

    @property
    def scopes_for_challenge(self) -> tuple[str, ...]:
        """All the scopes that a challenge names, in a fixed order."""
        return tuple(sorted(self.scopes | self.any_scope))


@dataclass(frozen=True, slots=True)
class TunnelBounds:
    """How long a tunnel may do without; in seconds.

    `check`: between two looks at whether its token still opens the route. `outage`: without an
    authorization server that vouches for the token. `idle`: without a byte either way.
    """

    check: float = 1.0
    outage: float = 30.0
    idle: float = 3600.0


@dataclass(frozen=True, slots=True)
class Route:
    """A compiled route.

    `host` None matches any host; `methods` None any method, and GET already includes HEAD.
    `requirement` is None exactly when the route is public. `authorization_server` names who is
    asked (several names with commas, of which the token chooses), `issuers` whose tokens open it;
    on a public route it may be None when no single server is meant. `is_for_an_audience` says that
    who is asked holds tokens against an audience already. `upgrade` lists the protocols that
    connections may switch to, `tunnels` bounds those. `adaptation` is None when requests go on as
    they came, `admission` when nothing but the token counts. `allow_in_path` are the kinds of
    ambiguity that its paths may have.
    `body_bytes` bounds a request's body; None means that the bound of all routes holds.
    """

    name: str
    host: str | None
    path: str
    methods: frozenset[str] | None
    upstream: str
    authorization_server: str | None = None
    issuers: frozenset[str] = frozenset()
    is_for_an_audience: bool = False
    requirement: Requirement | None = field(default_factory=Requirement)
    forward_token: bool = False
    upgrade: tuple[str, ...] = ()
    tunnels: TunnelBounds = TunnelBounds()
    adaptation: Adaptation | None = None
    admission: Admission | None = None
    body_bytes: int | None = None
    allow_in_path: frozenset[str] = frozenset()

    @property
    def is_public(self) -> bool:
        """Whether the route asks for no token."""
        return self.requirement is None
