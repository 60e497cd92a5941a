"""Stores many access tokens at once, as the embedded server would have stored them one by one."""

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import create_engine, delete, func, insert, select
from sqlalchemy.engine import make_url

from gateway.authserver.records.clients import find_client
from gateway.authserver.storage.tables import access_tokens
from gateway.policy.tokenformat import new_token, token_hash

CLIENT = "load"
LIFETIME = 24 * 3600  # seconds: none of them expires during a measurement
AT_ONCE = 10_000


def fill(url: str, stored: int, asked: int) -> list[str]:
    """Brings the table to so many live tokens of the client `load`, and gives some of them.

    `url` is a database URL as the configuration has it, with an absolute path for SQLite.
    """
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed)
    tokens = [new_token("at") for _ in range(asked)]
    with engine.begin() as connection:
        client = find_client(connection, CLIENT)
        assert client is not None
        connection.execute(delete(access_tokens))
        issued_at = int(time.time())
        common = {
            "client_id": CLIENT,
            "client_epoch": client.epoch,
            "scope": "orders:read",
            "audience": "",
            "issued_at": issued_at,
            "expires_at": issued_at + LIFETIME,
        }
        for hashes in _in_pieces(tokens, stored):
            connection.execute(insert(access_tokens), [{"hash": one, **common} for one in hashes])
        count = connection.execute(select(func.count()).select_from(access_tokens)).scalar()
        assert count == stored, count
    if parsed.drivername.startswith("postgresql"):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE access_tokens")
    engine.dispose()
    return tokens


def _in_pieces(tokens: list[str], stored: int) -> Iterator[list[bytes]]:
    # Random bytes stand for the hashes of tokens that nobody asks about; one file read gives all.
    others = Path("/dev/urandom").open("rb")  # noqa: SIM115 - closed below
    with others:
        hashes = [token_hash(token) for token in tokens]
        hashes += [others.read(32) for _ in range(stored - len(tokens))]
    hashes.sort()  # rows lie in the order of their keys, so sorted ones are stored fastest
    for start in range(0, len(hashes), AT_ONCE):
        yield hashes[start : start + AT_ONCE]
