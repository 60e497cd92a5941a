"""What kind of answer a request asks for."""

import re

_NO_WEIGHT = re.compile(r".*\bq=0(\.0*)?\s*")


def prefers_html(accept: str) -> bool:
    """Say whether an Accept header is a browser's: it names HTML, and JSON not before it."""
    kinds = [
        kind
        for kind, _, weight in (part.partition(";") for part in accept.lower().split(","))
        if not _NO_WEIGHT.fullmatch(weight)
    ]
    html = next((place for place, kind in enumerate(kinds) if kind.strip() == "text/html"), None)
    json_at = next((place for place, kind in enumerate(kinds) if "json" in kind), len(kinds))
    return html is not None and html < json_at
