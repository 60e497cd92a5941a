"""What the command line does to clients, people and tokens: plain functions of one open database.

    opened        the database that all of it works on
    registration  what a client may be registered with
    clients, people, tokens

Nothing here tells the workers: what is revoked comes back as a Revocation, committed already, and
the caller publishes it.
"""

from gateway.authserver.administration.clients import ClientExists, NewSecret, UnknownClient
from gateway.authserver.administration.opened import AdministrationError
from gateway.authserver.administration.people import (
    PeopleAdministration,
    UnknownUser,
    UserExists,
)
from gateway.authserver.administration.tokens import NewToken, TokenAdministration

__all__ = [
    "Administration",
    "AdministrationError",
    "ClientExists",
    "NewSecret",
    "NewToken",
    "UnknownClient",
    "UnknownUser",
    "UserExists",
]


class Administration(TokenAdministration, PeopleAdministration):
    """Everything that an operator does to one embedded server."""
