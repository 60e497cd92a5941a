"""Changes the answers of upstreams as their routes say."""

from gateway.middleware.exchange import Exchange
from gateway.policy.forwarding import ForwardRequest
from gateway.policy.headers import HeaderPair


class AnswerEditor:
    """Edits the fields of an answer's head, before the client gets it."""

    def edit(
        self,
        exchange: Exchange,
        request: ForwardRequest,  # noqa: ARG002
        fields: list[HeaderPair],
    ) -> list[HeaderPair]:
        """Give the fields as the client is to see them."""
        adaptation = exchange.route.adaptation if exchange.route is not None else None
        if adaptation is not None and adaptation.response_headers is not None:
            fields = adaptation.response_headers.edit(fields)
        return fields
