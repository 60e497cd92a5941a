"""The pages' colours, in light and in dark, readable whatever the brand's own colour is.

Every text reaches a contrast of 4.5 to 1 with what lies behind it, every edge that shows where a
control is 3 to 1 (WCAG 2.2, success criteria 1.4.3 and 1.4.11).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from gateway.authserver.options import Brand

TEXT_CONTRAST = 4.5
EDGE_CONTRAST = 3.0

_NEARLY_READABLE = 3.5
_DARK_LINK_CONTRAST = 6.0  # a coloured text that just suffices is dim beside the light ink

_BLACK, _WHITE = "#000000", "#ffffff"


@dataclass(frozen=True, slots=True)
class Scheme:
    """The colours of a scheme that do not depend on the brand, each `#rrggbb`.

    On `page` lies the `card`; on both stand `ink` and the quieter `muted`. `line` parts things,
    `edge` is around fields. Bad news is `danger` on `danger_soft`, good news `good` on `good_soft`.
    """

    page: str
    card: str
    ink: str
    muted: str
    line: str
    edge: str
    danger: str
    danger_soft: str
    good: str
    good_soft: str

    @property
    def is_dark(self) -> bool:
        """Say whether text is lighter than what lies behind it."""
        return luminance(self.card) < luminance(self.ink)


LIGHT = Scheme(
    page="#f3f4f7",
    card="#ffffff",
    ink="#191c22",
    muted="#586070",
    line="#e2e5eb",
    edge="#868d9b",
    danger="#a8201a",
    danger_soft="#fdf0ef",
    good="#1c6b3c",
    good_soft="#ecf7f0",
)
DARK = Scheme(
    page="#111318",
    card="#1a1d24",
    ink="#eceef2",
    muted="#a3abba",
    line="#2e333d",
    edge="#747c8b",
    danger="#ffaaa3",
    danger_soft="#3a1d1f",
    good="#8fd9ab",
    good_soft="#16301f",
)


@dataclass(frozen=True, slots=True)
class Accent:
    """The brand's colour as a scheme can show it.

    `fill` lies behind the text `on_fill`, has the edge `fill_edge` and is `fill_hover` under the
    pointer; `link` is text on the card and on the page, and the ring around what has the focus.
    """

    fill: str
    fill_hover: str
    fill_edge: str
    on_fill: str
    link: str


def derive_accent(color: str, scheme: Scheme) -> Accent:
    """Give what the colour (`#rrggbb`) becomes in the scheme.

    Text on the fill is white where that can be read, else dark. The fill is the brand's very colour
    but for two cases: one on which white is nearly readable is darkened by the little that lacks,
    as dark text on it looks wrong; and in dark, one that would sink into the card is lifted.
    """
    away = _WHITE if scheme.is_dark else _BLACK
    grounds = (scheme.card, scheme.page)
    fill = color
    if contrast(fill, _WHITE) >= _NEARLY_READABLE:
        fill = _move(fill, _BLACK, (_WHITE,), TEXT_CONTRAST)
    if scheme.is_dark:
        fill = _move(fill, _WHITE, (scheme.card,), EDGE_CONTRAST)
    on_fill = next(
        text for text in (_WHITE, LIGHT.ink, _BLACK) if contrast(text, fill) >= TEXT_CONTRAST
    )
    return Accent(
        fill=fill,
        fill_hover=mix(fill, _BLACK if on_fill == _WHITE else _WHITE, 0.14),
        fill_edge=_move(fill, away, (scheme.card,), EDGE_CONTRAST),
        on_fill=on_fill,
        link=_move(color, away, grounds, _DARK_LINK_CONTRAST if scheme.is_dark else TEXT_CONTRAST),
    )


def custom_properties(brand: Brand) -> str:
    """Give the style sheet's beginning: every colour, in both schemes, as CSS custom properties."""
    light, dark = (_declare(scheme, brand.color) for scheme in (LIGHT, DARK))
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    )


def icon_url(brand: Brand) -> str:
    """Give the brand's mark, its initial on its colour, as the `data:` URL of a picture."""
    accent = derive_accent(brand.color, LIGHT)
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="8" fill="{accent.fill}"/>'
        f'<text x="16" y="22.5" fill="{accent.on_fill}" font-family="sans-serif" font-size="19"'
        f' font-weight="700" text-anchor="middle">&#{ord(initial(brand))};</text></svg>'
    )
    return f"data:image/svg+xml,{quote(picture)}"


def initial(brand: Brand) -> str:
    """Give the one character that stands for the brand."""
    first = brand.name.strip()[:1]
    upper = first.upper()
    return upper if len(upper) == 1 else first


def contrast(one: str, other: str) -> float:
    """Give the contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """Give the relative luminance of a colour, 0 to 1 (WCAG 2.2, "relative luminance")."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(color))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def mix(color: str, other: str, share: float) -> str:
    """Give the colour with a share (0 to 1) of the other in it."""
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in pairs)


def _move(color: str, towards: str, grounds: Iterable[str], wanted: float) -> str:
    """Give the colour nearest to this one, on the way to another, that contrasts with all."""
    steps = (mix(color, towards, step / 50) for step in range(51))
    return next(one for one in steps if all(contrast(one, ground) >= wanted for ground in grounds))


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _declare(scheme: Scheme, color: str) -> str:
    accent = derive_accent(color, scheme)
    colors = {
        name: getattr(part, name) for part in (scheme, accent) for name in part.__dataclass_fields__
    }
    return " ".join(f"--{name.replace('_', '-')}: {value};" for name, value in colors.items())
