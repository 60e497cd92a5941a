"""What it is when a database does not do what was asked, and how long anybody waits for it."""

from typing import Final

PATIENCE: Final = 2.0
"""Seconds for a connection, a statement, a lock, a free connection of the pool: each of them."""


class DatabaseUnavailable(Exception):  # noqa: N818 - a state of the database, not a fault here
    """The database did not do what was asked. Its text is for the operator, never for a client.

    It is one line, and holds no password, no hash and no parameter of a statement.
    """
