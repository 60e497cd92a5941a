"""Turns a session into the one page of the Order desk, and says what its files are called."""

import hashlib
import time
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.client.order_desk.desk import OrderDeskOptions
from gateway.client.order_desk.language import NAMES, WORDS, prose
from gateway.client.order_desk.panel import view_steps
from gateway.client.order_desk.sessions import News, Session
from gateway.client.order_desk.wire import mask

_PACKAGE = "gateway.client.order_desk"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page; `url` changes with its content, so it may be kept for ever."""

    url: str
    content_type: str
    body: bytes


def _asset(name: str, content_type: str) -> Asset:
    body = (files(_PACKAGE) / name).read_bytes()
    stem, _, extension = name.partition(".")
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Asset(f"/assets/{stem}.{digest}.{extension}", content_type, body)


STYLE = _asset("desk.css", "text/css")
ICON = _asset("icon.svg", "image/svg+xml")


class Page:
    """Renders the page."""

    def __init__(self, options: OrderDeskOptions) -> None:
        self._options = options
        environment = Environment(
            loader=PackageLoader(_PACKAGE),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["prose"] = prose
        environment.filters["mask"] = mask
        environment.filters["time"] = _time_of_day
        self._template = environment.get_template("desk.html")

    def render(
        self,
        session: Session | None,
        language: str,
        *,
        lasts: float | None = None,
        news: News | None = None,
    ) -> str:
        """Give the page as HTML.

        Args:
            session: what the browser's session holds, if there is one.
            language: one of WORDS.
            lasts: for how many seconds more the access token is good; None: not known.
            news: said in place of the session's own.
        """
        words = WORDS[language]
        steps = view_steps(session, words)
        return self._template.render(
            options=self._options,
            session=session,
            language=language,
            languages=NAMES,
            words=words,
            lasts=lasts,
            news=news or (session.news if session is not None else None),
            steps=steps,
            progress_by_step={step.name: step.progress for step in steps},
            style_url=STYLE.url,
            icon_url=ICON.url,
        )


def _time_of_day(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
