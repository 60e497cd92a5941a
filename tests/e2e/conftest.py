"""The real legacy service, and gateways in front of it."""

from contextlib import ExitStack

import pytest

from tests.e2e.programs import running_gateway, running_httpbin


@pytest.fixture(scope="session")
def httpbin(gunicorn, tmp_path_factory):
    """The URL of httpbin under gunicorn: a legacy service that nobody here wrote."""
    with running_httpbin(gunicorn, tmp_path_factory.mktemp("httpbin")) as url:
        yield url


@pytest.fixture
def start_gateway(tmp_path_factory):
    """Starts a `gateway run` process with the settings it is called with; ends it afterwards."""
    with ExitStack() as stack:

        def start(settings, **options):
            # A short name: a unix socket's path has a hundred characters at most.
            folder = tmp_path_factory.mktemp("gw")
            return stack.enter_context(running_gateway(settings, folder, **options))

        yield start
