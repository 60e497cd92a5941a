"""`gateway login`: what it tells a person who has to wait for the browser."""

import shlex

import pytest

from gateway.cli import login
from gateway.client.code_flow import Wish


@pytest.mark.parametrize("is_public", [True, False])
def test_who_waits_reads_how_an_unknown_client_is_registered(
    capsys: pytest.CaptureFixture[str], is_public: bool
) -> None:
    """A browser that meets "unknown app" is never sent back: the terminal has to say it first."""
    wish = Wish("my cli", ["orders:read", "orders:write"])
    registration = login.describe_registration(wish, is_public=is_public)
    login._show_address("http://127.0.0.1:1/authorize?x", registration)
    _, address, words, command = capsys.readouterr().err.splitlines()
    assert address == "http://127.0.0.1:1/authorize?x"
    assert "the app is unknown" in words
    assert "--client-id" in words
    assert shlex.split(command) == [
        *("gateway", "client", "add", "my cli"),
        *(["--public"] if is_public else []),
        *("--grant", "authorization_code device_code"),
        *("--redirect-uri", "http://127.0.0.1/callback"),
        *("--scope", "orders:read orders:write"),
    ]
