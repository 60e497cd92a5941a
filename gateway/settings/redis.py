"""The rules and lints about Redis, and about gateways that share nothing."""

from typing import Final

from gateway.settings.addresses import is_loopback
from gateway.settings.database import is_on_another_host
from gateway.settings.draft import Draft
from gateway.settings.redis_models import find_redis
from gateway.settings.tls import check_client_tls

_LEAST_SECRET: Final = 32


def check_redis(draft: Draft) -> None:
    """The secret cannot be guessed, and `tls` is there for something and can be used."""
    redis = draft.settings.redis if draft.is_whole("redis") else None
    if redis is None:
        return
    if _is_given(draft, "secret") and len(redis.secret.get_secret_value()) < _LEAST_SECRET:
        what = f"the secret has fewer than {_LEAST_SECRET} characters"
        draft.error(("redis", "secret"), "weak-secret", what, "make one: openssl rand -hex 32")
    if _is_given(draft, "tls") and redis.tls is not None:
        if _is_given(draft, "url") and not find_redis(redis.url).has_tls:
            what = "this Redis is not reached by TLS"
            draft.error(("redis", "tls"), "unused-tls", what, "write rediss://, or remove tls")
        check_client_tls(draft, ("redis", "tls"), redis.tls)


def warn_of_plain_redis(draft: Draft) -> None:
    """What is known of people stands in what is shared, and the password goes before it."""
    if not _is_given(draft, "url") or draft.settings.redis is None:
        return
    place = find_redis(draft.settings.redis.url)
    if not place.has_tls and not is_loopback(place.host):
        what = "what is known of tokens can be read on the way to Redis"
        draft.warn(("redis", "url"), "redis-plain", what, "write rediss://")


def _is_given(draft: Draft, key: str) -> bool:
    """Say whether the file has a key of the section, and it could be read."""
    return draft.has("redis", key) and draft.is_sound("redis", key)


def warn_of_hosts_that_share_nothing(draft: Draft) -> None:
    """Several hosts on one database hear of each other's revocations only through Redis."""
    if draft.has("redis"):
        return
    for name, embedded in draft.embedded():
        path = ("authorization_servers", name, "embedded", "database")
        if not draft.has(*path) or not draft.is_sound(*path):
            continue
        if not is_on_another_host(embedded.database.get_secret_value()):
            continue  # one host, as far as can be seen
        bound = draft.settings.introspection_cache.max_lifetime
        what = (
            "gateways on other hosts with this database accept a token for up to "
            f"{bound:g}s (introspection_cache.max_lifetime) after it was revoked here"
        )
        draft.warn(path, "revocations-not-shared", what, "add redis, if there are several hosts")
