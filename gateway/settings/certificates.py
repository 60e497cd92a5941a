"""Certificates of listeners and of upstreams: what they are, and whether they can be used.

Rule: nothing of a key's file is ever quoted.
"""

import os
import re
import ssl
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

from gateway.settings.findings import Problem, quoted

_MAXIMUM_BYTES: Final = 1024 * 1024
_LONGEST_PATH: Final = 60
_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN (?:(?:RSA|EC|ENCRYPTED) )?PRIVATE KEY-----")
# Those of TLS 1.2 in Mozilla's "intermediate" configuration that have forward secrecy by elliptic
# curves and authenticated encryption; OpenSSL's own of TLS 1.3 are all good.
_CIPHERS: Final = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)

Part = Literal["certificate", "key", "ca"]


class UnusablePair(Exception):  # noqa: N818 - what the pair is
    """A certificate and its key, or authorities, cannot be used: which file is wrong, and how."""

    def __init__(self, part: Part, problem: Problem) -> None:
        self.part: Part = part
        self.problem = problem
        super().__init__(str(problem))


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says of itself: Unix seconds, and the host names and addresses."""

    not_before: float
    not_after: float
    names: frozenset[str]

    def covers(self, host: str) -> bool:
        """Say whether it is one for this host (RFC 9525, section 6.3: `*` is one whole label)."""
        host = host.lower().rstrip(".")
        _, dot, parent = host.partition(".")
        return host in self.names or (bool(dot) and f"*.{parent}" in self.names)


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Make the TLS side of a listener: TLS 1.2 and 1.3, HTTP/1.1. Raises UnusablePair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # A client asks for a new handshake within a connection only to keep us busy; OpenSSL refuses it
    # by itself since version 3.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # None of them is weak, and a telephone knows best which one is fast on it.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, certificate, key)
    return context


def load_client_context(
    ca: Path | None, certificate: Path | None, key: Path | None
) -> ssl.SSLContext:
    """Make the TLS side of an upstream: TLS 1.2 and 1.3, HTTP/1.1, the server's name verified.

    `ca` are the authorities that may vouch for it, the system's when None; `certificate` and `key`
    say who the gateway is. Raises UnusablePair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        content = _read(ca, "ca", _CERTIFICATE)
        try:
            context.load_verify_locations(cadata=content.decode("ascii", "replace"))
        except ssl.SSLError:
            what = f"the certificates in {_shown(ca)} are broken"
            mend = "put the PEM file there that the certificate authority gave"
            raise UnusablePair("ca", Problem("invalid-ca", what, mend)) from None
    if certificate is not None and key is not None:
        _load_pair(context, certificate, key)
    return context


def read_key(path: Path) -> bytes:
    """Read the file of a private key in PEM form. Raises UnusablePair."""
    return _read(path, "key", _KEY)


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    _read(certificate, "certificate", _CERTIFICATE)
    _read(key, "key", _KEY)
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except _PasswordAskedFor:
        what = f"the key in {_shown(key)} is encrypted"
        mend = "store it without passphrase, readable by the gateway's user alone"
        raise UnusablePair("key", Problem("encrypted-key", what, mend)) from None
    except ssl.SSLError as error:
        raise _explain(error, certificate, key) from None
    except OSError as error:  # gone, or forbidden, since it was read
        raise _unreadable("certificate", certificate, error) from None


def read_facts(certificate: Path) -> CertificateFacts:
    """Read what the first certificate of a file says. Raises UnusablePair."""
    # Imported here: it takes 12 MiB, and a gateway without TLS has no use for it.
    from cryptography import x509

    content = _read(certificate, "certificate", _CERTIFICATE)
    names: set[str] = set()
    try:
        [leaf, *_] = x509.load_pem_x509_certificates(content)
        with suppress(x509.ExtensionNotFound):
            extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            names.update(n.lower() for n in extension.value.get_values_for_type(x509.DNSName))
            names.update(map(str, extension.value.get_values_for_type(x509.IPAddress)))
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        what = f"the certificate in {_shown(certificate)} is broken"
        mend = "put the PEM file there that the certificate authority gave"
        raise UnusablePair("certificate", Problem("invalid-certificate", what, mend)) from None
    return CertificateFacts(
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
        frozenset(names),
    )


class _PasswordAskedFor(Exception):  # noqa: N818 - what OpenSSL did
    pass


def _refuse_password() -> NoReturn:
    # OpenSSL would else ask at the terminal, and the start would wait there for ever.
    raise _PasswordAskedFor


def _read(path: Path, part: Part, beginning: re.Pattern[bytes]) -> bytes:
    try:
        # Not waiting for a writer: a named pipe would hold up the start for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            content = stream.read(_MAXIMUM_BYTES + 1) if is_regular else b""
    except OSError as error:
        raise _unreadable(part, path, error) from None
    if len(content) > _MAXIMUM_BYTES or beginning.search(content) is None:
        what = f"{_shown(path)} holds no {_WORDS[part]} in PEM form"
        mend = f"name the file that begins with -----BEGIN {_WORDS[part].upper()}-----"
        raise UnusablePair(part, Problem(f"invalid-{part}", what, mend))
    return content


_WORDS: Final = {"certificate": "certificate", "key": "private key", "ca": "certificate"}


def _shown(path: Path) -> str:
    """Quote a path; of a long one its end tells more than its beginning."""
    text = str(path)
    return quoted(text if len(text) <= _LONGEST_PATH else f"…{text[1 - _LONGEST_PATH :]}")


def _unreadable(part: Part, path: Path, error: OSError) -> UnusablePair:
    what = f"{_shown(path)} cannot be read ({(error.strerror or 'unknown error').lower()})"
    mend = "create it, or let the user that runs the gateway read it"
    return UnusablePair(part, Problem(f"unreadable-{part}", what, mend))


def _explain(error: ssl.SSLError, certificate: Path, key: Path) -> UnusablePair:
    if error.reason == "KEY_VALUES_MISMATCH":
        what = f"this is not the key of the certificate in {_shown(certificate)}"
        return UnusablePair("key", Problem("wrong-key", what, "name the two that belong together"))
    try:
        read_facts(certificate)
    except UnusablePair as unusable:
        return unusable
    reason = (error.reason or "no reason given").replace("_", " ").lower()
    if "EE_" in (error.reason or "") or "CA_" in (error.reason or ""):
        what = f"OpenSSL refuses the certificate in {_shown(certificate)} ({reason})"
        mend = "get one with a larger key and SHA-256"
        return UnusablePair("certificate", Problem("invalid-certificate", what, mend))
    what = f"the key in {_shown(key)} is broken ({reason})"
    return UnusablePair("key", Problem("invalid-key", what, "put the certificate's own key there"))
