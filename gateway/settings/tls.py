"""The `tls` sections held against what stands on disk: errors, and what is worth a look."""

import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.settings.addresses import Origin, parse_origin
from gateway.settings.authorization_server_models import IntrospectionSettings
from gateway.settings.certificates import (
    CertificateFacts,
    UnusablePair,
    load_client_context,
    load_context,
    read_facts,
)
from gateway.settings.completion import locate_files
from gateway.settings.draft import Draft
from gateway.settings.findings import KeyPath, quoted
from gateway.settings.tls_models import ClientTlsSettings, TlsSettings


@dataclass(frozen=True)
class _Pair:
    """The two files of a section, and the origin by which clients come, where the file has one."""

    path: KeyPath
    certificate: Path
    key: Path
    origin_path: KeyPath
    origin: Origin | None


def check_certificates(draft: Draft) -> None:
    """A certificate and its key are there, belong together and can be used."""
    for pair in _pairs(draft):
        try:
            load_context(pair.certificate, pair.key)
            read_facts(pair.certificate)
        except UnusablePair as unusable:
            draft.refuse((*pair.path, unusable.part), unusable.problem)


def check_upstream_tls(draft: Draft) -> None:
    """What an upstream's `tls` names is there and can be used, and is used for something."""
    for name in draft.names("upstreams"):
        path: KeyPath = ("upstreams", name, "tls")
        if not _is_given(draft, *path):
            continue
        upstream = draft.settings.upstreams[name]
        if upstream.tls is None:
            continue
        if draft.is_sound("upstreams", name, "servers") and not any(
            server.startswith("https:") for server in upstream.servers
        ):
            what = "no server of this upstream is https"
            draft.error(path, "unused-tls", what, "write https:// in servers, or remove tls")
        check_client_tls(draft, path, upstream.tls)


def check_introspection_tls(draft: Draft) -> None:
    """What `tls` of a foreign authorization server names is there and can be used."""
    servers = [
        (name, kind)
        for name in draft.names("authorization_servers")
        for kind in ("introspection", "jwt")
    ]
    for name, kind in servers:
        above: KeyPath = ("authorization_servers", name, kind)
        path = (*above, "tls")
        if not draft.is_whole(*above) or not _is_given(draft, *path):
            continue
        server = draft.settings.authorization_servers[name]
        asked = server.introspection if kind == "introspection" else server.jwt
        if asked is not None and asked.tls is not None:
            key = "url" if isinstance(asked, IntrospectionSettings) else "jwks_uri"
            asked_at = getattr(asked, key) or asked.issuer
            is_known = draft.is_sound(*above, key) and draft.is_sound(*above, "issuer")
            if is_known and asked_at.startswith("http:"):
                what = "this authorization server is not asked by https"
                draft.error(path, "unused-tls", what, "write https://, or remove tls")
            check_client_tls(draft, path, asked.tls)


def check_client_tls(draft: Draft, path: KeyPath, tls: ClientTlsSettings) -> None:
    """What a section about servers to connect to names is there and can be used."""
    for part, other in (("certificate", "key"), ("key", "certificate")):
        if draft.has(*path, part) and not draft.has(*path, other):
            what = f"the gateway has a {part} here and no {other}"
            draft.error((*path, part), "half-a-pair", what, f"add {other}")
    located = locate_files(tls, draft.reading.folder)
    try:
        load_client_context(located.ca, located.certificate, located.key)
    except UnusablePair as unusable:
        draft.refuse((*path, unusable.part), unusable.problem)


def warn_of_certificates(draft: Draft) -> None:
    """Clients refuse a certificate out of its time, or of another name."""
    for pair in _pairs(draft):
        try:
            facts = read_facts(pair.certificate)
        except UnusablePair:
            continue  # it has its finding
        _warn_of_facts(draft, pair, facts, time.time())


def warn_of_readable_keys(draft: Draft) -> None:
    """Who can read the key can be the gateway."""
    keys = [((*pair.path, "key"), pair.key) for pair in _pairs(draft)]
    for name in draft.names("upstreams"):
        path: KeyPath = ("upstreams", name, "tls", "key")
        if _is_given(draft, *path):
            tls = draft.settings.upstreams[name].tls
            if tls is not None and tls.key is not None:
                keys.append((path, draft.reading.folder / tls.key))
    for path, key in keys:
        try:
            mode = key.stat().st_mode
        except OSError:
            continue  # it has its finding
        if stat.S_ISREG(mode) and mode & stat.S_IROTH:
            what = "every user of this machine can read this key"
            draft.warn(path, "world-readable-key", what, "run chmod o-r on it")


def _warn_of_facts(draft: Draft, pair: _Pair, facts: CertificateFacts, now: float) -> None:
    path = (*pair.path, "certificate")
    renew = "renew it; the gateway takes the new one up by itself"
    if now >= facts.not_after:
        day = datetime.fromtimestamp(facts.not_after, UTC).date()
        what = f"the certificate has expired on {day}, and clients refuse it"
        draft.warn(path, "expired-certificate", what, renew)
    elif now < facts.not_before:
        what = "the certificate is not valid yet, and clients refuse it"
        draft.warn(path, "premature-certificate", what, "look at the clock, or wait")
    if pair.origin is not None and pair.origin.scheme == "http":
        what = "clients are told http, and this listener speaks TLS alone"
        draft.warn(pair.origin_path, "plain-origin", what, f"write https://{pair.origin.host}")
    elif pair.origin is not None and not facts.covers(pair.origin.host):
        named = ", ".join(sorted(facts.names)[:5]) or "nobody"
        what = f"the certificate is for {quoted(named)}, clients ask for {pair.origin.host}"
        draft.warn(path, "other-certificate", what, "get one that names this host, too")


def _pairs(draft: Draft) -> Iterator[_Pair]:
    settings = draft.settings
    if _is_given(draft, "tls") and settings.tls is not None:
        path: KeyPath = ("public_url",)
        origin = parse_origin(settings.public_url) if _is_given(draft, *path) else None
        yield _make_pair(draft, ("tls",), settings.tls, path, origin)
    for name, embedded in draft.embedded():
        above: KeyPath = ("authorization_servers", name, "embedded")
        if _is_given(draft, *above, "tls") and embedded.tls is not None:
            path = (*above, "issuer")
            origin = parse_origin(embedded.issuer) if _is_given(draft, *path) else None
            yield _make_pair(draft, (*above, "tls"), embedded.tls, path, origin)


def _make_pair(
    draft: Draft, path: KeyPath, tls: TlsSettings, origin_path: KeyPath, origin: Origin | None
) -> _Pair:
    folder = draft.reading.folder
    return _Pair(path, folder / tls.certificate, folder / tls.key, origin_path, origin)


def _is_given(draft: Draft, *path: str | int) -> bool:
    return draft.has(*path) and draft.is_sound(*path)
