"""What a file may say of JWTs that are checked here."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from gateway.settings import Examination

Check = Callable[..., list[str]]

FILE = """\
authorization_servers:
  partner:
    jwt:
      issuer: https://partner.example.com
{lines}
upstreams:
  orders: {{servers: [http://127.0.0.1:8000]}}
routes:
  - name: orders
    match: {{path: /orders/**}}
    require: {{}}
"""
AUDIENCE = "audience: orders-api"


def file(*lines: str) -> str:
    return FILE.format(lines="\n".join(f"      {line}" for line in lines))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}))
    return path


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["jwks_uri: https://keys.example.com/jwks"],
        ["jwks: jwks.json"],
        ["algorithms: [ES256, RS512]", "token_type: any", "leeway: 0s"],
        ["refresh: 1m", "maximum_age: 1m", "timeouts: {total: 1s}"],
    ],
)
def test_these_are_sound(check: Check, keys: Path, lines: list[str]) -> None:
    assert check(file(AUDIENCE, *lines)) == []


@pytest.mark.parametrize(
    ("lines", "finding"),
    [
        (["leeway: 5s"], 'the key "audience" is missing'),
        ([AUDIENCE, "algorithms: [HS256]"], '"HS256" is not one of the choices'),
        ([AUDIENCE, "algorithms: [none]"], '"none" is not one of the choices'),
        ([AUDIENCE, "algorithms: []"], "the list is empty; name the algorithms"),
        ([AUDIENCE, "leeway: 61s"], "61s is too long; write 0s to 60s"),
        ([AUDIENCE, "token_type: id_token"], "write rfc9068 or any"),
        ([AUDIENCE, "jwks_uri: http://keys.example.com/"], "plain http leaves this machine"),
        ([AUDIENCE, "refresh: 2h", "maximum_age: 1h"], "before they are fetched anew"),
        ([AUDIENCE, "jwks: jwks.json", "jwks_uri: https://a.example/"], "no use for jwks_uri"),
        ([AUDIENCE, "jwks: jwks.json", "timeouts: {total: 1s}"], "no use for timeouts"),
        ([AUDIENCE, "jwks: other.json"], "cannot be read (no such file or directory)"),
        ([AUDIENCE, "jwks: jwks.json", "algorithms: [RS256]"], "no key in"),
        ([AUDIENCE, "tls: {ca: nowhere.pem}"], "nowhere.pem"),
        (
            [AUDIENCE, "jwks_uri: http://127.0.0.1:1/", "tls: {}"],
            "is not asked by https",
        ),
    ],
)
def test_what_cannot_work_is_found(
    check: Check, keys: Path, lines: list[str], finding: str
) -> None:
    [found] = check(file(*lines))
    assert finding in found


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ("<html>", "it is no JSON object"),
        ("{}", "it has no list of keys"),
        ('{"keys": [], "keys": []}', "it is no JSON object"),
        ('{"keys": []}', "can be used; add a public key"),
        (
            json.dumps({"keys": [OctKey.generate_key(256).as_dict(private=True)]}),
            "is of a type that is not known",
        ),
        (" " * 300_000, "is larger than"),
    ],
    ids=range(6),
)
def test_a_key_set_that_cannot_be_used_is_found(
    check: Check, keys: Path, content: str, finding: str
) -> None:
    keys.write_text(content)
    [found] = check(file(AUDIENCE, "jwks: jwks.json"))
    assert finding in found


def test_the_file_of_keys_is_found_from_the_files_folder(
    read: Callable[..., Examination], keys: Path
) -> None:
    settings = read(file(AUDIENCE, "jwks: jwks.json")).settings
    assert settings is not None
    checked = settings.authorization_servers["partner"].jwt
    assert checked is not None
    assert checked.jwks == keys


def test_an_rsa_key_alone_serves_where_rsa_is_asked_for(check: Check, keys: Path) -> None:
    keys.write_text(json.dumps({"keys": [RSAKey.generate_key(2048).as_dict(private=False)]}))
    assert check(file(AUDIENCE, "jwks: jwks.json", "algorithms: [PS384]")) == []
