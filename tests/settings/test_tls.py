"""The `tls` sections: every way in which a pair cannot be used has a finding at the right key."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.settings import Examination
from gateway.settings.certificates import CertificateFacts, load_context
from tests.serving.certificates import Pair
from tests.settings.conftest import VALID

Check = Callable[..., list[str]]
DAY = timedelta(days=1)

GUARD = "tls: {certificate: tls/tls.pem, key: tls/tls.key}\n"
SERVER = VALID.replace(
    "      scopes", "      tls: {certificate: tls/tls.pem, key: tls/tls.key}\n      scopes"
)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path / "tls").write()


def test_a_sound_pair_has_no_finding_and_its_paths_become_absolute(
    read: Callable[..., Examination], pair: Pair
) -> None:
    examination = read(SERVER + GUARD)
    assert examination.findings == ()
    assert examination.settings is not None
    assert examination.settings.tls is not None
    assert examination.settings.tls.certificate == pair.certificate
    assert examination.settings.tls.key == pair.key
    [server] = examination.settings.authorization_servers.values()
    assert server.embedded is not None
    assert server.embedded.tls == examination.settings.tls


def test_symbolic_links_are_kept_for_those_who_swap_them(
    read: Callable[..., Examination], pair: Pair, tmp_path: Path
) -> None:
    (tmp_path / "current").symlink_to("tls")
    settings = read(VALID + GUARD.replace("tls/tls", "current/tls")).settings
    assert settings is not None
    assert settings.tls is not None
    assert settings.tls.certificate == tmp_path / "current" / "tls.pem"
    assert settings.tls.key == tmp_path / "current" / "tls.key"


def test_origins_that_follow_from_listeners_become_https(
    read: Callable[..., Examination], pair: Pair
) -> None:
    server = SERVER.replace("      tls", "      listen: 10.0.0.5:8443\n      tls")
    settings = read("listen: 127.0.0.1:443\n" + server + GUARD).settings
    assert settings is not None
    assert settings.public_url == "https://127.0.0.1"
    [local] = settings.authorization_servers.values()
    assert local.embedded is not None
    # Without TLS this address says nothing: it would be plain http on a network.
    assert local.embedded.issuer == "https://10.0.0.5:8443"


def ruin_certificate(pair: Pair) -> None:
    text = pair.certificate.read_text()
    pair.certificate.write_text(text[:200] + text[300:])


def ruin_key(pair: Pair) -> None:
    text = pair.key.read_text()
    pair.key.write_text(text[:60] + "AAAA" + text[64:])


BROKEN: dict[str, tuple[Callable[[Pair], object], str]] = {
    "no certificate": (
        lambda pair: pair.certificate.unlink(),
        'certificate: "…/tls.pem" cannot be read (no such file or directory); create it, or let',
    ),
    "no key": (
        lambda pair: pair.key.unlink(),
        'key: "…/tls.key" cannot be read (no such file or directory); create it, or let the user',
    ),
    "a folder": (
        lambda pair: (pair.key.unlink(), pair.key.mkdir()),
        "key: ",
    ),
    "a pipe": (
        lambda pair: (pair.key.unlink(), os.mkfifo(pair.key)),
        'key: "…/tls.key" holds no private key in PEM form; name the file that begins with',
    ),
    "DER": (
        lambda pair: pair.certificate.write_bytes(b"\x30\x82\x01\x02"),
        'certificate: "…/tls.pem" holds no certificate in PEM form; name the file that begins wi',
    ),
    "the two exchanged": (
        lambda pair: pair.certificate.write_bytes(pair.key.read_bytes()),
        'certificate: "…/tls.pem" holds no certificate in PEM form; name the file that begins wi',
    ),
    "a broken certificate": (
        ruin_certificate,
        'certificate: the certificate in "…/tls.pem" is broken; put the PEM file there that the',
    ),
    "a broken key": (ruin_key, 'key: the key in "…/tls.key" is broken ('),
    "another key": (
        lambda pair: pair.key.write_bytes(pair.make()[1]),
        'key: this is not the key of the certificate in "…/tls.pem"; name the two that belong',
    ),
    "an encrypted key": (
        lambda pair: pair.write(password=b"secret"),
        'key: the key in "…/tls.key" is encrypted; store it without passphrase, readable by the',
    ),
}


@pytest.mark.parametrize(("ruin", "words"), BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize(
    ("text", "path"),
    [(VALID + GUARD, "tls."), (SERVER, "authorization_servers.local.embedded.tls.")],
    ids=["guard", "embedded"],
)
def test_a_pair_that_cannot_be_used_is_an_error_at_its_key(
    check: Check, pair: Pair, text: str, path: str, ruin: Callable[[Pair], object], words: str
) -> None:
    ruin(pair)
    [found] = check(text)
    assert path + words in re.sub(r'"[^"]*/', '"…/', found)
    assert "warning" not in found


def test_a_key_that_is_no_legacy_pem_with_a_passphrase_is_not_asked_for_one(
    check: Check, pair: Pair
) -> None:
    """OpenSSL would ask at the terminal."""
    lines = pair.key.read_text().splitlines()
    header = ["Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC," + "0" * 32, ""]
    text = "\n".join([lines[0], *header, *lines[1:]]).replace("PRIVATE KEY", "EC PRIVATE KEY")
    pair.key.write_text(text)
    [found] = check(VALID + GUARD)
    assert "is encrypted; store it without passphrase" in found


@pytest.mark.parametrize(
    ("public_url", "since", "until", "words"),
    [
        ("https://localhost", -9 * DAY, -2 * DAY, "warning: tls.certificate: the certificate has "),
        ("https://localhost", 2 * DAY, 9 * DAY, "tls.certificate: the certificate is not valid y"),
        ("https://api.example.com", -DAY, DAY, 'the certificate is for "127.0.0.1, localhost", cl'),
        ("http://localhost", -DAY, DAY, "public_url: clients are told http, and this listener spe"),
    ],
)
def test_a_pair_that_clients_will_refuse_is_warned_of(
    check: Check, pair: Pair, public_url: str, since: timedelta, until: timedelta, words: str
) -> None:
    pair.write(since=since, until=until)
    [found] = check(f"public_url: {public_url}\n{VALID}{GUARD}")
    assert words in found


def test_a_key_that_others_can_read_is_warned_of(check: Check, pair: Pair) -> None:
    pair.key.chmod(0o644)
    [found] = check(VALID + GUARD)
    assert (
        "warning: tls.key: every user of this machine can read this key; run chmod o-r on it"
        in found
    )
    pair.key.chmod(0o640)
    assert check(VALID + GUARD) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tls: {certificate: tls/tls.pem}\n", 'tls.key: the key "key" is missing'),
        ("tls: {certificate: ~/tls.pem, key: tls/tls.key}\n", "~ and $ are not expanded here"),
        ("tls: yes\n", "tls: a single value stands where a mapping with certificate and key belo"),
    ],
)
def test_a_section_that_is_not_whole_is_an_error(
    check: Check, pair: Pair, line: str, words: str
) -> None:
    [found] = check(VALID + line)
    assert words in found


def test_plain_http_on_a_network_may_be_mended_by_tls_here(check: Check) -> None:
    [found] = check("public_url: http://api.example.com\n" + VALID)
    assert found.endswith("write https://api.example.com, with tls here or before the gateway")


@pytest.mark.parametrize(
    ("host", "is_covered"),
    [
        ("api.example.com", True),
        ("API.example.com.", True),
        ("www.example.org", True),
        ("a.b.example.org", False),
        ("example.org", False),
        ("10.0.0.5", True),
        ("10.0.0.6", False),
        ("2001:db8::1", True),
    ],
)
def test_a_wildcard_is_one_whole_label(host: str, is_covered: bool) -> None:
    names = frozenset({"api.example.com", "*.example.org", "10.0.0.5", "2001:db8::1"})
    assert CertificateFacts(0, 0, names).covers(host) is is_covered


def test_every_cipher_has_forward_secrecy_and_authenticated_encryption(pair: Pair) -> None:
    for cipher in load_context(pair.certificate, pair.key).get_ciphers():
        assert cipher["protocol"] == "TLSv1.3" or cipher["kea"] == "kx-ecdhe"
        assert cipher["aead"] is True


UPSTREAM = VALID.replace(
    "[http://127.0.0.1:8000]", "[https://127.0.0.1:8000], tls: {ca: tls/tls.pem, PAIR}"
)
OWN = UPSTREAM.replace("PAIR", "certificate: tls/tls.pem, key: tls/tls.key")


def test_the_files_of_an_upstream_become_absolute(
    read: Callable[..., Examination], pair: Pair
) -> None:
    examination = read(OWN)
    assert examination.findings == ()
    assert examination.settings is not None
    tls = examination.settings.upstreams["orders"].tls
    assert tls is not None
    assert (tls.ca, tls.certificate, tls.key) == (pair.certificate, pair.certificate, pair.key)


@pytest.mark.parametrize(
    ("written", "instead", "finding"),
    [
        ("ca: tls/tls.pem", "ca: none.pem", "tls.ca: "),
        ("ca: tls/tls.pem", "ca: tls/tls.key", 'tls.key" holds no certificate in PEM form; '),
        ("ca: tls/tls.pem", "ca: broken.pem", 'broken.pem" are broken; put the PEM file there'),
        ("key: tls/tls.key", "key: tls/tls.pem", "tls.key: "),
        (", key: tls/tls.key", "", "certificate: the gateway has a certificate here and no key; "),
        ("certificate: tls/tls.pem, ", "", "key: the gateway has a key here and no certificate; "),
        ("https:", "http:", "tls: no server of this upstream is https; write https:// in servers"),
        ("ca: tls/tls.pem", "server_name: a:1", "server_name: a port stands behind the host; "),
    ],
)
def test_what_an_upstreams_tls_names_is_there_and_used(
    check: Check, pair: Pair, written: str, instead: str, finding: str
) -> None:
    pair.certificate.chmod(0o600)
    broken = pair.certificate.parent.parent / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    [found] = check(OWN.replace(written, instead))
    assert finding in found


def test_the_key_of_an_upstream_is_not_for_everybody(check: Check, pair: Pair) -> None:
    pair.key.chmod(0o644)
    [found] = check(OWN)
    assert "upstreams.orders.tls.key: every user of this machine can read this key" in found
