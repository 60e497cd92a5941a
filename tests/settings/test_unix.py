"""`listen: unix:/path`, and `unix` among the trusted proxies."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.settings import Examination, UnixAddress
from tests.settings.conftest import VALID

Check = Callable[..., list[str]]
URL = "public_url: https://api.example.com\ntrusted_proxies: [unix]\n"


def test_a_relative_path_counts_from_the_files_folder(
    read: Callable[..., Examination], tmp_path: Path
) -> None:
    examination = read(VALID + URL + "listen: unix:run/gateway.sock\n")
    assert examination.findings == ()
    assert examination.settings is not None
    assert examination.settings.listen == (UnixAddress(f"{tmp_path}/run/gateway.sock"),)
    assert examination.settings.trusted_proxies == ("unix",)


def test_a_socket_does_not_say_how_clients_reach_the_gateway(check: Check) -> None:
    [found] = check(VALID + "trusted_proxies: [unix]\nlisten: unix:/run/gateway.sock\n")
    assert found == (
        "12:9: listen: listening on unix:/run/gateway.sock does not say how clients reach the "
        "gateway; add public_url with the origin that they use"
    )


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("'unix:'", "the path is empty; write a socket, as in unix:/run/gateway/gateway.sock"),
        ("unix:///run/s", "two slashes stand before the path; write unix:/run/s"),
        ("unix:~/s", "~ and $ are not expanded here; "),
        ('"unix:@gateway"', "a socket without a file is open to every user of this machine; "),
        (f"unix:/run/{'s' * 103}", "the whole path of this socket is longer than 107 bytes; "),
    ],
)
def test_a_path_that_cannot_be_one_is_refused(check: Check, listen: str, words: str) -> None:
    [found] = check(VALID + URL + f"listen: {listen}\n")
    assert words in found


def test_a_path_may_be_as_long_as_the_kernel_takes_it(check: Check) -> None:
    assert check(VALID + URL + f"listen: unix:/run/{'s' * 102}\n") == []


def test_the_socket_itself_is_no_upstream(check: Check) -> None:
    text = VALID.replace("http://127.0.0.1:8000", "unix:run/../gateway.sock")
    [found] = check(text + URL + "listen: unix:gateway.sock\n")
    assert "this is where the gateway itself listens, so every request would run in a" in found


def test_a_socket_on_which_nobody_is_believed_is_warned_of(check: Check) -> None:
    text = VALID + "public_url: https://api.example.com\n"
    for trusted in ("", "trusted_proxies: [127.0.0.1]\n"):
        [found] = check(text + trusted + "listen: unix:/run/s\n")
        assert "warning: listen: nobody who connects to the socket is believed, so" in found
    assert check(text) == []


@pytest.mark.parametrize("key", ["admin_listen", "authorization_servers.local.embedded.listen"])
def test_the_other_listeners_have_addresses(check: Check, key: str) -> None:
    """The operator's port tells by its Host whom it answers; browsers go to the sign-in."""
    text = VALID + "admin_listen: unix:/run/admin.sock\n"
    if key != "admin_listen":
        text = VALID.replace("      scopes", "      listen: unix:/run/s\n      scopes")
    [found] = check(text)
    assert f"{key}: " in found
