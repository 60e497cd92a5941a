"""What a route changes of requests and answers, so that the service can stay as it is."""

from dataclasses import dataclass

from gateway.policy.cors import CorsRules
from gateway.policy.forwarding import ForwardRequest
from gateway.policy.header_edits import HeaderEdits
from gateway.policy.identity import IdentityHeaders
from gateway.policy.rewriting import PathRewrite
from gateway.policy.token import Token
from gateway.policy.token_cookie import without_cookie


@dataclass(frozen=True, slots=True)
class Adaptation:
    """The changes of one route.

    `host` is the Host that the upstream gets if `replaces_host`, None its own authority; `path` its
    path, None the client's. `secure_cookies` makes cookies Secure that reach the client over https.
    The edits and `cors` are None where there are none. `adds_fields`: the gateway has something to
    say in every answer. `token_cookie` is one that the upstream neither sees nor sets. `identity`
    is what it learns of who asks, beside what every upstream does.
    """

    replaces_host: bool = False
    host: bytes | None = None
    path: PathRewrite | None = None
    request_headers: HeaderEdits | None = None
    response_headers: HeaderEdits | None = None
    cors: CorsRules | None = None
    secure_cookies: bool = False
    adds_fields: bool = False
    token_cookie: bytes | None = None
    identity: IdentityHeaders | None = None

    @property
    def edits_every_answer(self) -> bool:
        """Whether an answer is edited even when it points nowhere."""
        maps_cookies = self.replaces_host or self.path is not None or self.secure_cookies
        return (
            maps_cookies
            or self.adds_fields
            or self.response_headers is not None
            or self.cors is not None
        )


def adapt_request(
    adaptation: Adaptation,
    request: ForwardRequest,
    path: str,
    query: str,
    token: Token | None = None,
) -> None:
    """Change a request whose canonical path has been judged. Raises AmbiguousPath.

    `token` is the one that opened the route, None where none had to.
    """
    if adaptation.path is not None:
        request.target = encode_target(adaptation.path.forward(path) + query)
    if adaptation.replaces_host:
        request.host = adaptation.host
    if adaptation.token_cookie is not None:
        request.headers = without_cookie(adaptation.token_cookie, request.headers)
    if adaptation.request_headers is not None:
        request.headers = adaptation.request_headers.edit(request.headers)
        if b"destination" in adaptation.request_headers.strips:
            request.destination = None
    if adaptation.identity is not None and token is not None:
        # Behind the edits, which take away what the client sent under these names.
        request.headers += adaptation.identity.write(token)
    request.edits_every_answer = adaptation.edits_every_answer


def encode_target(target: str) -> bytes:
    """Give a request's target as it goes over the wire: the bytes that came."""
    return target.encode("utf-8", "surrogateescape")
