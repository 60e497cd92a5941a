"""The rules about authorization servers that others run."""

from typing import Final

from gateway.settings.certificates import UnusablePair
from gateway.settings.draft import Draft
from gateway.settings.findings import KeyPath, Problem, join_words, quoted
from gateway.settings.signing_keys import load_signing_key
from gateway.settings.verification_keys import load_key_set

_NEEDED: Final = {
    "client_secret_basic": ("client_id", "client_secret"),
    "client_secret_post": ("client_id", "client_secret"),
    "private_key_jwt": ("client_id", "private_key"),
    "bearer_token": ("bearer_token",),
}
_CREDENTIALS: Final = ("client_id", "client_secret", "private_key", "bearer_token")


def check_authentication(draft: Draft) -> None:
    """The gateway has what its way of authenticating takes, and nothing that it does not."""
    for name in draft.names("authorization_servers"):
        path: KeyPath = ("authorization_servers", name, "introspection")
        if not draft.is_whole(*path) or not draft.is_sound(*path, "authentication"):
            continue  # it has its finding
        asked = draft.settings.authorization_servers[name].introspection
        if asked is None:
            continue
        way = asked.authentication
        needed = _NEEDED[way]
        for key in _CREDENTIALS:
            if key in needed and not draft.has(*path, key):
                place = (*path, "authentication") if draft.has(*path, "authentication") else path
                what = f"{way} needs {join_words(needed, 'and')}, and there is no {key}"
                draft.error(place, "missing-credentials", what, f"add {key}")
            elif key not in needed and draft.has(*path, key):
                what = f"{way} has no use for {key}"
                mend = f"remove it, or choose another authentication than {way}"
                draft.error((*path, key), "unused-credentials", what, mend)
        key_path = (*path, "private_key")
        if draft.has(*key_path) and asked.private_key is not None and draft.is_sound(*key_path):
            try:
                load_signing_key(draft.reading.folder / asked.private_key)
            except UnusablePair as unusable:
                draft.refuse(key_path, unusable.problem)


def check_keys(draft: Draft) -> None:
    """What JWTs are checked with comes from one place, and can be used."""
    for name in draft.names("authorization_servers"):
        path: KeyPath = ("authorization_servers", name, "jwt")
        if not draft.is_whole(*path):
            continue  # it has its finding
        checked = draft.settings.authorization_servers[name].jwt
        if checked is None:
            continue
        if draft.has(*path, "jwks"):
            for key in ("jwks_uri", "tls", "timeouts"):
                if draft.has(*path, key):
                    what = f"the keys come from a file, so there is no use for {key}"
                    draft.error((*path, key), "unused-key", what, "remove it, or jwks")
            if draft.is_sound(*path, "jwks") and draft.is_sound(*path, "algorithms"):
                try:
                    load_key_set(draft.reading.folder / (checked.jwks or ""), checked.algorithms)
                except Problem as problem:
                    draft.refuse((*path, "jwks"), problem)
        is_sound = draft.is_sound(*path, "refresh") and draft.is_sound(*path, "maximum_age")
        if is_sound and checked.refresh > checked.maximum_age:
            key = "refresh" if draft.has(*path, "refresh") else "maximum_age"
            what = "the keys would be too old to use before they are fetched anew"
            draft.error((*path, key), "refresh-too-late", what, "make maximum_age longer")


def check_choice(draft: Draft, path: KeyPath, names: tuple[str, ...]) -> None:
    """Of several servers a token tells which it is from; one at most is asked about the rest."""
    if len(names) < 2:
        return
    opaque: list[str] = []
    by_issuer: dict[str, str] = {}
    for name in names:
        above: KeyPath = ("authorization_servers", name)
        server = draft.settings.authorization_servers.get(name) if draft.is_whole(*above) else None
        if server is None:
            return  # it has its finding
        if server.introspection is not None:
            opaque.append(name)
        if server.jwt is None or not draft.has(*above, "jwt", "issuer"):
            continue
        if not draft.is_sound(*above, "jwt", "issuer"):
            return  # likewise
        earlier = by_issuer.setdefault(server.jwt.issuer, name)
        if earlier != name:
            what = f"{quoted(earlier)} and {quoted(name)} check JWTs of one issuer"
            draft.error(path, "ambiguous-servers", what, "name one of them")
    if len(opaque) > 1:
        what = f"nobody can tell opaque tokens of {join_words(map(quoted, opaque), 'and')} apart"
        mend = "name one that is asked about tokens (introspection), and give the others routes"
        draft.error(path, "ambiguous-servers", what, mend)
