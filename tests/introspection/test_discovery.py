"""Where an issuer has its introspection endpoint, by its metadata."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from gateway.introspection.calls import Reply, ServerCalls
from gateway.introspection.discovery import IssuerMetadata, metadata_urls
from gateway.policy.interfaces import AuthorizationServerUnavailable
from tests.introspection.conftest import Clock

ISSUER = "https://login.example.com/tenant"
FIRST, SECOND, THIRD = metadata_urls(ISSUER)
ENDPOINT = "https://login.example.com/introspect"
DOCUMENT = {"issuer": ISSUER, "introspection_endpoint": ENDPOINT}


@dataclass
class Documents(ServerCalls):
    """Has these documents, and says of the rest that they are not there."""

    documents: dict[str, object] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_down: bool = False

    async def get(self, url: str) -> Reply:
        self.asked.append(url)
        await asyncio.sleep(0)
        if self.is_down:
            raise AuthorizationServerUnavailable("it is down")
        found = self.documents.get(url)
        if isinstance(found, int):
            return Reply(found, b"", None)
        if found is None:
            return Reply(404, b"", None)
        return Reply(200, found if isinstance(found, bytes) else json.dumps(found).encode(), None)


def metadata(documents: Documents, clock: Clock | None = None) -> IssuerMetadata:
    return IssuerMetadata(
        documents,
        ISSUER,
        "introspection_endpoint",
        lambda url: url.startswith("https://"),
        clock or Clock(50.0),
    )


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (
            "https://a.example",
            [
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration",
            ],
        ),
        (
            "https://a.example/x/y",
            [
                "https://a.example/.well-known/oauth-authorization-server/x/y",
                "https://a.example/x/y/.well-known/openid-configuration",
                "https://a.example/.well-known/openid-configuration/x/y",
            ],
        ),
        (
            "https://a.example/",
            [
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration",
            ],
        ),
    ],
)
def test_the_places_of_both_standards_are_tried(issuer, urls):
    """RFC 8414, section 3 and 5; OpenID Connect Discovery 1.0, section 4."""
    assert list(metadata_urls(issuer)) == urls


@pytest.mark.parametrize("place", [FIRST, SECOND, THIRD])
async def test_the_endpoint_is_found_at_any_of_them(place):
    documents = Documents({place: DOCUMENT})
    assert await metadata(documents).url() == ENDPOINT


@pytest.mark.parametrize(
    "document",
    [
        DOCUMENT | {"issuer": "https://login.example.com/other"},
        DOCUMENT | {"issuer": ISSUER + "/"},
        {"introspection_endpoint": ENDPOINT},
        {"issuer": ISSUER},
        DOCUMENT | {"introspection_endpoint": "http://login.example.com/introspect"},
        DOCUMENT | {"introspection_endpoint": ["https://a.example"]},
        [DOCUMENT],
        b"<html>",
        b"[" * 100_000,
        500,
        302,
    ],
    ids=str,
)
async def test_a_document_that_does_not_say_it_is_an_outage(document):
    """Nor is the next place tried: an attacker at one of them would have the last word."""
    documents = Documents({FIRST: document, SECOND: DOCUMENT})
    with pytest.raises(AuthorizationServerUnavailable) as caught:
        await metadata(documents).url()
    assert caught.value.kind == "unexpected_answer"
    assert documents.asked == [FIRST]


async def test_an_issuer_without_metadata_is_told_so():
    with pytest.raises(AuthorizationServerUnavailable, match="write down the endpoint's url"):
        await metadata(Documents({})).url()


async def test_it_is_looked_up_once_for_many_and_again_after_an_hour():
    clock = Clock(50.0)
    documents = Documents({FIRST: DOCUMENT})
    found = metadata(documents, clock)
    assert await asyncio.gather(*(found.url() for _ in range(20))) == [ENDPOINT] * 20
    assert documents.asked == [FIRST]
    clock.now += 3599
    await found.url()
    assert documents.asked == [FIRST]
    clock.now += 2
    documents.documents[FIRST] = DOCUMENT | {"introspection_endpoint": ENDPOINT + "/new"}
    assert await found.url() == ENDPOINT + "/new"


async def test_what_was_found_is_used_while_the_issuer_is_down():
    clock = Clock(50.0)
    documents = Documents({FIRST: DOCUMENT})
    found = metadata(documents, clock)
    await found.url()
    documents.is_down = True
    clock.now += 3601
    assert await found.url() == ENDPOINT
    assert await found.url() == ENDPOINT
    assert len(documents.asked) == 2, "and it is not asked again with each request"
    clock.now += 6
    await found.url()
    assert len(documents.asked) == 3


async def test_an_issuer_that_was_down_is_asked_again():
    documents = Documents({FIRST: DOCUMENT}, is_down=True)
    found = metadata(documents)
    with pytest.raises(AuthorizationServerUnavailable):
        await found.url()
    documents.is_down = False
    assert await found.url() == ENDPOINT
