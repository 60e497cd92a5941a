"""The small page that a browser shows when it has come back; no script, nothing loaded."""

import base64
import hashlib
from html import escape
from typing import Final

_STYLE: Final = """\
:root{color-scheme:light dark}
body{font:1.125rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1.5rem}
h1{font-size:1.5rem}
:lang(ko){word-break:keep-all}"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    # The address holds the code: it goes into no Referer.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}

WORDS: Final = {
    "arrived": {
        "en": ("Back to the terminal", "The answer has arrived. You may close this window."),
        "ko": ("터미널로 돌아가세요", "응답이 도착했습니다. 이 창은 닫아도 됩니다."),
    },
    "refused": {
        "en": (
            "Not signed in",
            "The authorization server refused; the terminal says why. You may close this window.",
        ),
        "ko": (
            "로그인되지 않았습니다",
            "인가 서버가 거절했습니다. 이유는 터미널에 있습니다. 이 창은 닫아도 됩니다.",
        ),
    },
    "stray": {
        "en": (
            "Nothing to see here",
            "This address does not belong to the sign-in that is under way.",
        ),
        "ko": ("볼 것이 없습니다", "이 주소는 지금 진행 중인 로그인에 속하지 않습니다."),
    },
}


def render(kind: str, language: str) -> str:
    """Write the page of one kind (`arrived`, `refused`, `stray`) in one language."""
    title, text = (escape(words) for words in WORDS[kind][language])
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{title}</h1>\n<p>{text}</p>\n</main>\n</body>\n</html>\n"
    )
