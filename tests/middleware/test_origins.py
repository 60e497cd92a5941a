"""By which origin a client has made its request."""

from ipaddress import ip_network
from types import SimpleNamespace

import pytest

from gateway.middleware.origins import ClientOrigins

PUBLIC = "https://api.example.com:8443"
PROXY = "10.0.0.1"


def origin(host, *, peer="192.0.2.1", tls=False, proto=None, public=PUBLIC):
    """Gives the origin of a request with this Host; X-Forwarded-Proto may be several lines."""
    origins = ClientOrigins(public, ["one.example.com"], (ip_network("10.0.0.0/8"),))
    exchange = SimpleNamespace(
        authority=None if host is None else host.encode(),
        host=None if host is None else host.partition(":")[0].lower(),
        peer=peer,
        protocol=SimpleNamespace(ssl_context=object() if tls else None),
        message=SimpleNamespace(
            raw_headers=[(b"x-forwarded-proto", line) for line in proto or ()],
        ),
    )
    return origins.of(exchange)


@pytest.mark.parametrize("tls", [False, True])
def test_a_host_of_the_configuration_has_its_scheme_and_port(tls):
    assert origin("API.example.com", tls=tls) == PUBLIC
    assert origin("one.example.com:1", tls=tls) == "https://one.example.com:8443"


def test_any_other_host_has_the_scheme_of_its_connection():
    assert origin("other.example:81") == "http://other.example:81"
    assert origin("other.example:81", tls=True) == "https://other.example:81"


def test_tls_of_our_own_is_no_plain_http_whatever_the_configuration_says():
    assert origin("a.example", tls=True, public="http://a.example") == "https://a.example"


def test_only_a_trusted_proxy_is_believed():
    assert origin("other.example", proto=[b"https"]) == "http://other.example"
    assert origin("other.example", proto=[b"https"], peer=PROXY) == "https://other.example"
    assert origin("other.example", proto=[b"HTTPS"], peer=PROXY) == "https://other.example"
    assert origin("other.example", proto=[b"gopher"], peer=PROXY) == "http://other.example"
    assert origin("other.example", proto=[b"http", b"https"], peer=PROXY) == "https://other.example"
    assert origin("api.example.com", proto=[b"http"], peer=PROXY) == "http://api.example.com"
    assert origin("api.example.com", proto=[b"https"], peer=PROXY) == PUBLIC
    assert origin("api.example.com", peer=PROXY) == PUBLIC
    assert origin("other.example", peer=PROXY, tls=True) == "https://other.example"
    assert origin("other.example", peer=PROXY, tls=True, proto=[b"http"]) == "http://other.example"


def test_a_request_without_a_host_has_the_public_origin():
    assert origin(None) == PUBLIC
