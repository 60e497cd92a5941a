"""Several authorization servers as one: each token is shown to the one that it is from."""

import math
from collections.abc import Mapping

from gateway.introspection.cache import Answer
from gateway.introspection.coalescing import CachedIntrospector
from gateway.policy.choosing import ServerChoice
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token


class ChosenIntrospector:
    """Asks one of `members`; `issuers` are those that each may speak for. Of a RememberingServer.

    One that vouches for a token of another issuer than its own is not believed.
    """

    def __init__(
        self,
        choice: ServerChoice,
        members: Mapping[str, CachedIntrospector],
        issuers: Mapping[str, str],
    ) -> None:
        self._choice = choice
        self._members = members
        self._issuers = issuers

    def remembered(self, token: str) -> Answer | None:
        """Give the answer that is at hand, without asking anybody."""
        name = self._choice.choose(token)
        if isinstance(name, Reason):
            return Answer(Inactive(name), math.inf)
        answer = self._members[name].remembered(token)
        return None if answer is None else self._believe(answer, name)

    async def ask(self, token: str) -> Answer:
        """Ask the server that the token is from. Raises AuthorizationServerUnavailable."""
        name = self._choice.choose(token)
        if isinstance(name, Reason):
            return Answer(Inactive(name), math.inf)
        return self._believe(await self._members[name].ask(token), name)

    def _believe(self, answer: Answer, name: str) -> Answer:
        verdict = answer.verdict
        if isinstance(verdict, Token) and verdict.issuer != self._issuers[name]:
            return Answer(Inactive(Reason.WRONG_ISSUER), answer.fresh_until)
        return answer
