"""What a route looks at beside the token: whence a request comes, how many, and by what page.

Rule: it fails closed. A client whose address is not known is in no network.
"""

from dataclasses import dataclass

from gateway.policy.addresses import IPAddress, IPNetwork, is_within
from gateway.policy.rate_limits import RateLimits
from gateway.policy.rejection import Reason, Rejection
from gateway.policy.token_cookie import TokenCookie


@dataclass(frozen=True, slots=True)
class Admission:
    """What must hold beside the token.

    `networks` are those of the clients that may pass; an empty tuple lets all of them. `rates` is
    None where requests are not counted, `token_cookie` where tokens come in the header alone.
    """

    networks: tuple[IPNetwork, ...] = ()
    rates: RateLimits | None = None
    token_cookie: TokenCookie | None = None

    @property
    def adds_fields(self) -> bool:
        """Whether every answer tells the client of it."""
        return self.rates is not None or self.token_cookie is not None

    @property
    def reasons(self) -> frozenset[Reason]:
        """The refusals that a request can meet here. Metrics start these at 0."""
        reasons = set()
        if self.networks:
            reasons.add(Reason.NETWORK_NOT_ALLOWED)
        if self.rates is not None:
            reasons.add(Reason.RATE_LIMITED)
        if self.token_cookie is not None:
            reasons.add(Reason.CROSS_ORIGIN)
        return frozenset(reasons)


def judge_network(admission: Admission, client: IPAddress | None) -> Rejection | None:
    """Hold the address of a client, None when it is not known, against the networks."""
    if not admission.networks or (client is not None and is_within(client, admission.networks)):
        return None
    detail = "its address is not known" if client is None else f"its address is {client}"
    return Rejection(Reason.NETWORK_NOT_ALLOWED, detail=detail)
