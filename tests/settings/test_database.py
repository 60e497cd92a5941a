"""The database's URL: a file's or a server's, and never quoted where it may hold a password."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.settings import Examination
from gateway.settings.authorization_server_models import EmbeddedSettings
from gateway.settings.database import DatabaseUrl
from gateway.settings.reference import render_reference
from gateway.settings.schema import json_schema
from tests.settings.conftest import VALID

Check = Callable[..., list[str]]
POSTGRESQL = "postgresql://gateway:geheim@db.example:5432/gateway"
LOCAL = "postgresql://gateway:geheim@127.0.0.1:5432/gateway"
REDIS = "redis: {url: redis://127.0.0.1, secret: {env: SECRET}}\n"


def with_database(database: str) -> str:
    return VALID.replace("      scopes:", f"      database: {database}\n      scopes:")


def embedded_of(examination: Examination) -> EmbeddedSettings:
    assert examination.settings is not None
    embedded = examination.settings.authorization_servers["local"].embedded
    assert embedded is not None
    return embedded


@pytest.mark.parametrize(
    ("database", "finding"),
    [
        ("gateway.db", "this is the URL of neither a SQLite nor a PostgreSQL database; write sqli"),
        ("sqlite://gateway.db", "this is the URL of neither "),
        ("mysql://u:geheim@db/x", "this is the URL of neither "),
        ("5", "this is the URL of neither "),
        ('"sqlite:///"', "a database in memory is gone with its process"),
        ('"sqlite:///:memory:"', "a database in memory is gone with its process"),
        ("sqlite:///a.db?mode=memory", "options follow the file name; "),
        ("sqlite:///folder/", "the path names a folder; add the name of a file"),
        ("postgresql+psycopg://u:geheim@db/x", "the scheme of PostgreSQL is postgresql, alone; "),
        ("postgresql:/u:geheim@db/x", "the scheme of PostgreSQL is postgresql, alone; "),
        ("postgresql://u:geheim@db", "the URL names no database; add /name behind the host"),
        ("postgresql://u:geheim@db/", "the URL names no database; "),
        ("postgresql://u:geh@eim@db/x", "this is not user:password@host:port in front of "),
        ("postgresql://u:geh/eim@db/x", "this is not user:password@host:port in front of "),
        ("postgresql://u:geheim@db:http/x", "this is not user:password@host:port in front of "),
        ("postgresql://u:geheim@db/x?verify", "what follows the ? is not options; "),
        ('"postgresql://u:geheim@db/x y"', "the URL holds a space, a # or a letter beyond ASCII"),
        ('"postgresql://u:geheim@db/x#y"', "the URL holds a space, a # or a letter beyond ASCII"),
        ("postgresql://ü:geheim@db/x", "the URL holds a space, a # or a letter beyond ASCII"),
        ("", "the key has no value; "),
        ("[sqlite:///a.db]", "a list stands where a secret belongs; "),
        ("{env: GEHEIM}", "the environment variable GEHEIM is not set; "),
    ],
)
def test_what_is_no_database_is_refused_and_never_quoted(
    check: Check, database: str, finding: str
) -> None:
    [found] = check(with_database(database))
    assert finding in found
    assert "geheim" not in found


@pytest.mark.parametrize(
    "url",
    [
        POSTGRESQL,
        "postgres://u@db/x",
        "postgresql:///x?host=/var/run/postgresql",
        "postgresql://u:p%40%2F@[::1]:5433/x?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://u@one:5432,two:5432/x?target_session_attrs=read-write",
        "postgresql://db/?dbname=x",
    ],
)
def test_a_postgresql_url_is_taken_as_it_is(read: Callable[..., Examination], url: str) -> None:
    """Also from the environment, and from a file."""
    for content, environ in ((url, {}), ("{env: DATABASE}", {"DATABASE": url})):
        embedded = embedded_of(
            read(with_database(f'"{url}"' if content == url else content), environ)
        )
        assert embedded.database.get_secret_value() == url


def test_the_url_comes_from_a_file(read: Callable[..., Examination], tmp_path: Path) -> None:
    (tmp_path / "url").write_text(POSTGRESQL + "\n", encoding="utf-8")
    embedded = embedded_of(read(with_database("{file: url}")))
    assert embedded.database.get_secret_value() == POSTGRESQL


def test_a_password_never_prints(read: Callable[..., Examination]) -> None:
    settings = read(with_database(POSTGRESQL)).settings
    assert "geheim" not in repr(settings) + str(settings)
    assert "geheim" not in DatabaseUrl().write(SecretStr(POSTGRESQL))


def test_a_password_in_the_file_is_warned_of(check: Check) -> None:
    for url in (POSTGRESQL, "postgresql://db/x?password=geheim", "postgresql://:geheim@[::1]/x"):
        [found] = check(with_database(f'"{url}"') + REDIS, {"SECRET": "s" * 32})
        assert ": warning: authorization_servers.local.embedded.database: " in found
        assert "the secret stands in the file itself; write {env: NAME} or {file: PATH}" in found
        assert "geheim" not in found
    assert check(with_database("postgresql://gateway@127.0.0.1/x")) == []
    assert check(with_database("{env: DATABASE}"), {"DATABASE": LOCAL}) == []


def test_a_database_on_another_host_without_redis_is_warned_of(check: Check) -> None:
    """With the time for which a revocation may go unheard there."""
    for url in (
        "postgresql://gateway@db/x",
        "postgresql://gateway@db:5432/x",
        "postgresql://127.0.0.1,db:5433/x",
        "postgresql:///x?host=db",
        "postgresql://[fd00::1]:5432/x",
    ):
        [found] = check(with_database(f'"{url}"'))
        assert ": warning: authorization_servers.local.embedded.database: " in found
        assert "for up to 60s (introspection_cache.max_lifetime) after it was revoked" in found
        assert "add redis" in found
        assert check(with_database(f'"{url}"') + REDIS, {"SECRET": "s" * 32}) == []
    for url in (
        "postgresql://gateway@127.0.0.1:5432/x",
        "postgresql://localhost/x",
        "postgresql://[::1]:5432/x",
        "postgresql://%2Frun%2Fpostgresql/x",
        "postgresql:///x?host=/run/postgresql",
    ):
        assert check(with_database(f'"{url}"')) == []


def test_a_sqlite_file_counts_from_the_state_dir(
    read: Callable[..., Examination], tmp_path: Path
) -> None:
    """Also where the environment names it; an absolute path stays where it is."""
    relative = embedded_of(read(with_database("{env: DB}"), {"DB": "sqlite:///a.db"}))
    assert relative.database.get_secret_value() == f"sqlite:///{tmp_path}/state/a.db"
    absolute = embedded_of(read(with_database("sqlite:////var/lib/g w.db")))
    assert absolute.database.get_secret_value() == "sqlite:////var/lib/g w.db"


def test_schema_and_reference_show_the_default_file() -> None:
    database = json_schema()["$defs"]["Embedded"]["properties"]["database"]
    assert database["default"] == "sqlite:///gateway.db"
    assert "| database URL | `sqlite:///gateway.db` |" in render_reference()


@pytest.mark.parametrize(
    ("key", "lowest", "highest", "default"),
    [
        ("refresh_token_lifetime", "1m", "8784h", 720 * 3600),
        ("session_lifetime", "1m", "720h", 12 * 3600),
    ],
)
def test_lifetimes_have_bounds_and_defaults(
    read: Callable[..., Examination],
    check: Check,
    key: str,
    lowest: str,
    highest: str,
    default: int,
) -> None:
    def with_lifetime(value: str) -> str:
        return VALID.replace("      scopes:", f"      {key}: {value}\n      scopes:")

    assert getattr(embedded_of(read(VALID)), key) == default
    assert check(with_lifetime(lowest)) == check(with_lifetime(highest)) == []
    for value in ("59s", "8785h", "90500ms"):
        [found] = check(with_lifetime(value))
        assert f"embedded.{key}: " in found
