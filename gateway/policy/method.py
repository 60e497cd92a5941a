"""The methods of requests: which there are, and which can be forwarded."""

from typing import Final

USUAL_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What applications use (RFC 9110, section 9; RFC 5789). Metrics have a label for each."""

_OF_WEBDAV = (
    *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"),  # RFC 4918
    *("REPORT", "CHECKOUT", "MERGE", "MKACTIVITY"),  # RFC 3253, as Subversion uses it
    *("MKCALENDAR", "ACL", "SEARCH", "BIND", "REBIND", "UNBIND"),  # RFC 4791, 3744, 5323, 5842
)
_OF_OTHERS = (
    *("LINK", "UNLINK", "PURGE", "QUERY", "SOURCE"),
    *("M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE"),
)

FORWARDED_METHODS: Final = (*USUAL_METHODS, *_OF_WEBDAV, *_OF_OTHERS)
"""What a route can name: all that the parser of requests knows, but for those below."""

METHODS_WITHOUT_DESTINATION: Final = frozenset(USUAL_METHODS)
"""Those whose requests have no Destination (RFC 4918, section 10.3), whatever fields they bear."""

NEVER_FORWARDED: Final = frozenset({"CONNECT", "TRACE"})
"""A tunnel to anywhere, and an echo of headers that clients are not to see."""

PARSED_METHODS: Final = frozenset(FORWARDED_METHODS) | NEVER_FORWARDED
"""What the listener's parser takes for a method. Any other is refused before it means anything."""
