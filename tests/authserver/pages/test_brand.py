"""Colours: whatever the brand's is, everything can be read (WCAG 2.2, 1.4.3 and 1.4.11)."""

import re
from itertools import product
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.authserver.options import Brand
from gateway.authserver.pages.brand import (
    DARK,
    EDGE_CONTRAST,
    LIGHT,
    TEXT_CONTRAST,
    Scheme,
    contrast,
    custom_properties,
    derive_accent,
    icon_url,
    initial,
)

COLORS = st.integers(0, 0xFFFFFF).map("#{:06x}".format)
SCHEMES = pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])


@SCHEMES
@given(color=COLORS)
@example(color="#000000")
@example(color="#ffffff")
@example(color="#777777")
@example(color="#767676")
@example(color="#ffee00")
@example(color="#000080")
def test_any_brand_colour_can_be_read(scheme: Scheme, color: str) -> None:
    accent = derive_accent(color, scheme)
    for fill in (accent.fill, accent.fill_hover):
        assert contrast(accent.on_fill, fill) >= TEXT_CONTRAST
    for ground in (scheme.card, scheme.page):
        assert contrast(accent.link, ground) >= TEXT_CONTRAST
    assert contrast(accent.fill_edge, scheme.card) >= EDGE_CONTRAST


@SCHEMES
def test_the_other_colours_can_be_read(scheme: Scheme) -> None:
    for text, ground in product(("ink", "muted"), ("page", "card")):
        assert contrast(getattr(scheme, text), getattr(scheme, ground)) >= TEXT_CONTRAST
    for text, ground in [
        ("danger", "danger_soft"),
        ("danger", "card"),
        ("good", "good_soft"),
    ]:
        assert contrast(getattr(scheme, text), getattr(scheme, ground)) >= TEXT_CONTRAST
    for ground in (scheme.page, scheme.card):
        assert contrast(scheme.edge, ground) >= EDGE_CONTRAST
    assert scheme.is_dark is (scheme is DARK)


@given(COLORS)
def test_in_light_the_fill_is_the_colour_of_the_brand_or_hardly_darker(color: str) -> None:
    fill = derive_accent(color, LIGHT).fill
    if 3.5 <= contrast(color, "#ffffff") < TEXT_CONTRAST:
        assert contrast(color, fill) < 1.4
    else:
        assert fill == color


@SCHEMES
def test_a_colour_that_just_misses_white_text_is_darkened_for_it(scheme: Scheme) -> None:
    assert derive_accent("#e91e63", scheme).on_fill == "#ffffff"
    assert derive_accent("#ffee00", scheme).on_fill != "#ffffff"


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#123456", "#123456", 1.0)],
)
def test_contrast_is_measured_as_wcag_does(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.005)


@given(COLORS)
def test_what_is_declared_is_a_colour_in_both_schemes(color: str) -> None:
    light, dark = custom_properties(Brand("A", color)).split("@media")
    names = re.findall(r"(--[a-z-]+): #[0-9a-f]{6};", light)
    assert names == re.findall(r"(--[a-z-]+): #[0-9a-f]{6};", dark)
    assert "--on-fill" in names


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"]), min_size=1))
@example("ßeta")
@example("주문")
@example("<&")
def test_any_name_gives_a_mark_that_is_sound_svg(name: str) -> None:
    brand = Brand(name if name.strip() else "A")
    assert len(initial(brand)) == 1
    scheme, _, picture = icon_url(brand).partition(",")
    assert scheme == "data:image/svg+xml"
    root = ET.fromstring(unquote(picture))
    assert root[1].text == initial(brand)
