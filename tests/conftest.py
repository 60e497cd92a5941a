"""What every test shares: how much hypothesis tries, and the real parts."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.parts.get import PartMissing, locate
from tests.parts.postgresql import PostgresServer

# Machines differ in speed, so no example has a deadline; CI tries the same examples every time,
# so that its verdict is about the change, and a developer's machine goes on looking for new ones.
settings.register_profile("default", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_configure(config: pytest.Config) -> None:
    """Gives all processes of a run one seed for hashes: a set in a test's name reads alike in each.

    They compare the names that they have collected, and a run where those differ ends at once.
    """
    if not hasattr(config, "workerinput"):
        os.environ.setdefault("PYTHONHASHSEED", str(secrets.randbelow(2**32)))


def pytest_report_header() -> str:
    """Says what a run needs to be done again alike."""
    return f"PYTHONHASHSEED={os.environ['PYTHONHASHSEED']}"


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name, whatever the test's: some hold unix sockets.

    A socket's path has a hundred characters at most, and pytest's own name for the folder of a test
    that runs beside others takes too many of them.
    """
    return tmp_path_factory.mktemp("t")


def _part(name: str) -> Path:
    try:
        return locate(name)
    except PartMissing as missing:
        pytest.fail(str(missing))


@pytest.fixture(scope="session")
def curl() -> Path:
    """The curl program."""
    return _part("curl")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The Chromium program."""
    return _part("chromium")


@pytest.fixture(scope="session")
def apache_program() -> Path:
    """The program of the Apache web server."""
    return _part("apache2")


@pytest.fixture(scope="session")
def git() -> Path:
    """The git program."""
    return _part("git")


@pytest.fixture(scope="session")
def gunicorn() -> Path:
    """The gunicorn program of the environment that httpbin lives in."""
    return _part("httpbin")


@pytest.fixture(scope="session")
def node() -> Path:
    """The node program; in `.parts/node` it finds the packages of tests/parts/node."""
    return _part("node")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this session's own."""
    _part("postgres")
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def eventsource() -> Path:
    """The node program; in `.parts/eventsource` it finds the client of that name."""
    return _part("eventsource")


@pytest.fixture(scope="session")
def nginx() -> Path:
    """The nginx program."""
    return _part("nginx")


@pytest.fixture(scope="session")
def openssl() -> Path:
    """The openssl program."""
    return _part("openssl")


@pytest.fixture(scope="session")
def nchan() -> tuple[Path, Path]:
    """The nginx program, and the module of it that serves events."""
    return _part("nginx"), _part("nchan")
