"""The section about Redis: where it is, who asks, and the secret that seals what is stored."""

from pathlib import Path

import pytest

from gateway.settings import find_redis
from gateway.settings.redis_models import RedisPlace
from tests.settings.conftest import VALID, Check

SECRET = "0123456789abcdef0123456789abcdef"
ENVIRON = {"SECRET": SECRET}


def with_redis(**keys: str) -> str:
    members = {"url": "redis://127.0.0.1", "secret": "{env: SECRET}"} | keys
    return VALID + "redis:\n" + "".join(f"  {key}: {value}\n" for key, value in members.items())


@pytest.mark.parametrize(
    ("url", "finding"),
    [
        ("127.0.0.1:6379", "this is the URL of no Redis; write redis://host:6379"),
        ("http://127.0.0.1", "this is the URL of no Redis; "),
        ("redis://", "this is the URL of no Redis; "),
        ("redis://:geheim@127.0.0.1", "a name or a password stands in the URL; put them into"),
        ("redis://127.0.0.1:many", "the URL has no valid port; write :6379"),
        ("redis://127.0.0.1/main", "what follows the host is not the number of a database; "),
        ("redis://127.0.0.1/0/1", "what follows the host is not the number of a database; "),
        ("redis://127.0.0.1/0?timeout=1", "options follow; remove the ? or #"),
        ("unix:redis.sock", "this is not the absolute path of a socket; "),
        ("unix://run/redis.sock", "this is not the absolute path of a socket; "),
        ("redis://exa_mple..com", "is not a host; write a name such as"),
    ],
)
def test_what_is_no_url_of_redis_is_refused(check: Check, url: str, finding: str) -> None:
    [found] = check(with_redis(url=f'"{url}"'), ENVIRON)
    assert ": redis.url: " in found
    assert finding in found
    assert "geheim" not in found


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://127.0.0.1", RedisPlace("127.0.0.1", 6379, 0, has_tls=False)),
        ("redis://[::1]:7000/5", RedisPlace("::1", 7000, 5, has_tls=False)),
        ("rediss://redis.example.com/1", RedisPlace("redis.example.com", 6379, 1, has_tls=True)),
        (
            "unix:/run/r.sock",
            RedisPlace("localhost", 0, 0, has_tls=False, socket=Path("/run/r.sock")),
        ),
    ],
)
def test_a_url_says_where_redis_is(check: Check, url: str, place: RedisPlace) -> None:
    assert check(with_redis(url=f'"{url}"'), ENVIRON) == []
    assert find_redis(url) == place


def test_a_short_secret_is_refused_with_the_way_to_make_one(check: Check) -> None:
    [found] = check(with_redis(), {"SECRET": SECRET[1:]})
    assert ": redis.secret: the secret has fewer than 32 characters; " in found
    assert "openssl rand -hex 32" in found
    assert SECRET[1:] not in found


def test_secrets_in_the_file_are_warned_of(check: Check) -> None:
    found = check(with_redis(secret=SECRET, password="geheim"), ENVIRON)
    assert len(found) == 2
    assert all("the secret stands in the file itself" in one for one in found)


def test_redis_on_another_host_without_tls_is_warned_of(check: Check) -> None:
    [found] = check(with_redis(url="redis://redis.example.com"), ENVIRON)
    assert ": warning: redis.url: what is known of tokens can be read on the way" in found
    assert check(with_redis(url="rediss://redis.example.com"), ENVIRON) == []


def test_tls_needs_a_url_that_uses_it_and_files_that_are_there(check: Check) -> None:
    [unused] = check(with_redis(tls="{}"), ENVIRON)
    assert "this Redis is not reached by TLS; write rediss://, or remove tls" in unused
    tls = "{ca: nowhere.pem}"
    [missing] = check(with_redis(url="rediss://redis.example.com", tls=tls), ENVIRON)
    assert ": redis.tls.ca: " in missing
