"""The gateway has what its way of authenticating to a foreign server takes, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from gateway.settings import Examination, load_signing_key
from gateway.settings.addresses import is_endpoint_of
from tests.serving.certificates import Pair

Check = Callable[..., list[str]]

FILE = """\
authorization_servers:
  corporate:
    introspection:
      issuer: https://login.example.com
{lines}
upstreams:
  orders: {{servers: [http://127.0.0.1:8000]}}
routes:
  - name: orders
    match: {{path: /orders/**}}
    require: {{}}
"""
SECRET = "client_secret: {env: SECRET}"
TOKEN = "bearer_token: {env: SECRET}"
KEY = "private_key: key.pem"
ENVIRONMENT = {"SECRET": "hush"}


def file(*lines: str) -> str:
    return FILE.format(lines="\n".join(f"      {line}" for line in lines))


def write_key(
    path: Path, key: object, encryption: KeySerializationEncryption | None = None
) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(  # type: ignore[attr-defined]
            Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
        )
    )


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    write_key(path, ec.generate_private_key(ec.SECP256R1()))
    return path


@pytest.mark.parametrize(
    "lines",
    [
        ["client_id: gateway", SECRET],
        ["authentication: client_secret_basic", "client_id: gateway", SECRET],
        ["authentication: client_secret_post", "client_id: gateway", SECRET],
        ["authentication: private_key_jwt", "client_id: gateway", KEY],
        ["authentication: bearer_token", TOKEN],
    ],
)
def test_each_way_with_all_that_it_takes_is_sound(
    check: Check, key: Path, lines: list[str]
) -> None:
    assert check(file(*lines), ENVIRONMENT) == []


@pytest.mark.parametrize(
    ("lines", "finding"),
    [
        (["client_id: gateway"], "no client_secret; add client_secret"),
        ([SECRET], "no client_id; add client_id"),
        (["authentication: client_secret_post", "client_id: a"], "5:23"),
        (["authentication: private_key_jwt", "client_id: a"], "no private_key"),
        (["authentication: private_key_jwt", KEY], "no client_id"),
        (["authentication: bearer_token"], "no bearer_token"),
        (["client_id: a", SECRET, KEY], "client_secret_basic has no use for private_key; remove"),
        (["client_id: a", SECRET, TOKEN], "no use for bearer_token"),
        (["authentication: bearer_token", TOKEN, "client_id: a"], "no use for client_id"),
        (
            ["authentication: private_key_jwt", "client_id: a", KEY, SECRET],
            "no use for client_secret",
        ),
        (["authentication: tls_client_auth", "client_id: a", SECRET], "client_secret_basic"),
    ],
)
def test_what_is_missing_or_of_no_use_is_named(
    check: Check, key: Path, lines: list[str], finding: str
) -> None:
    [found] = check(file(*lines), ENVIRONMENT)
    assert finding in found


@pytest.mark.parametrize("name", ["client_secret", "bearer_token"])
def test_a_secret_in_the_file_is_warned_of_and_never_quoted(check: Check, name: str) -> None:
    way = [] if name == "client_secret" else ["authentication: bearer_token"]
    client = ["client_id: a"] if name == "client_secret" else []
    [found] = check(file(*way, *client, f"{name}: hush"))
    assert "the secret stands in the file itself" in found
    assert "hush" not in found


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RS256"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384"),
    ],
)
def test_a_key_tells_its_algorithm(
    tmp_path: Path, make: Callable[[], object], algorithm: str
) -> None:
    write_key(tmp_path / "key.pem", make())
    assert load_signing_key(tmp_path / "key.pem").algorithm == algorithm


SIGNED = ("authentication: private_key_jwt", "client_id: a", KEY)


def test_a_key_that_is_not_there_is_found(check: Check) -> None:
    [found] = check(file(*SIGNED))
    assert "key.pem" in found
    assert "cannot be read (no such file or directory)" in found


@pytest.mark.parametrize(
    ("make", "finding"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "cannot sign with the key"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "cannot sign with the key"),
        (ed25519.Ed25519PrivateKey.generate, "cannot sign with the key"),
    ],
)
def test_a_key_that_cannot_sign_is_refused(
    check: Check, tmp_path: Path, make: Callable[[], object], finding: str
) -> None:
    write_key(tmp_path / "key.pem", make())
    [found] = check(file(*SIGNED))
    assert finding in found
    assert "openssl ecparam" in found


def test_an_encrypted_or_broken_key_is_refused(check: Check, tmp_path: Path, key: Path) -> None:
    text = key.read_bytes()
    write_key(key, ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"hush"))
    assert "is encrypted" in check(file(*SIGNED))[0]
    key.write_bytes(text[:60] + text[90:])
    assert "is broken" in check(file(*SIGNED))[0]
    key.write_bytes(b"hush")
    [found] = check(file(*SIGNED))
    assert "holds no private key in PEM form" in found
    assert '"hush"' not in found


def test_paths_are_those_of_the_files_folder(
    read: Callable[..., Examination], key: Path, tmp_path: Path
) -> None:
    pair = Pair(tmp_path, "server").write()
    tls = "tls: {ca: server.pem, certificate: server.pem, key: server.key}"
    settings = read(file(*SIGNED, tls)).settings
    assert settings is not None
    asked = settings.authorization_servers["corporate"].introspection
    assert asked is not None
    assert asked.tls is not None
    assert (asked.private_key, asked.tls.ca, asked.tls.key) == (key, pair.certificate, pair.key)


@pytest.mark.parametrize(
    ("lines", "finding"),
    [
        (["tls: {ca: nowhere.pem}"], "nowhere.pem"),
        (["tls: {certificate: server.pem}"], "the gateway has a certificate here and no key"),
        (["url: http://127.0.0.1:1/", "tls: {ca: server.pem}"], "is not asked by https"),
    ],
)
def test_tls_that_cannot_be_used_is_found(
    check: Check, tmp_path: Path, lines: list[str], finding: str
) -> None:
    Pair(tmp_path, "server").write()
    [found] = check(file("client_id: a", SECRET, *lines), ENVIRONMENT)
    assert finding in found


@pytest.mark.parametrize(
    ("url", "issuer", "is_good"),
    [
        ("https://login.example.com/introspect", "https://login.example.com", True),
        ("https://other.example.com/introspect", "https://login.example.com", True),
        ("http://login.example.com/introspect", "https://login.example.com", False),
        ("http://127.0.0.1:9090/introspect", "https://login.example.com", False),
        ("https://localhost/introspect", "https://login.example.com", False),
        ("https://localhost:2/introspect", "https://localhost:1", True),
        ("http://127.0.0.1:2/introspect", "http://127.0.0.1:1", True),
        ("http://login.example.com/", "http://127.0.0.1:1", False),
        ("file:///etc/passwd", "https://login.example.com", False),
        ("https://user@login.example.com/", "https://login.example.com", False),
        ("introspect", "https://login.example.com", False),
        ("", "https://login.example.com", False),
    ],
)
def test_no_server_on_the_network_sends_the_gateway_to_this_machine(
    url: str, issuer: str, is_good: bool
) -> None:
    assert is_endpoint_of(url, issuer) is is_good
