"""What people read and see, as the file says it: scopes by language, a name, a colour."""

from collections.abc import Callable

import pytest

from gateway.authserver.options import Brand, embedded_options
from gateway.settings import Examination
from gateway.settings.schema import json_schema
from tests.settings.conftest import VALID
from tests.settings.validator import validate


def _scopes(value: str) -> str:
    return VALID.replace('{"orders:read": See your orders}', f'{{"orders:read": {value}}}')


def _brand(value: str) -> str:
    return VALID.replace("      scopes", f"      brand: {value}\n      scopes")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("See your orders", {"": "See your orders"}),
        ("{en: See your orders, ko: 주문 보기}", {"en": "See your orders", "ko": "주문 보기"}),
        ("{ko: 주문 보기}", {"ko": "주문 보기"}),
    ],
)
def test_a_scope_has_one_description_or_one_for_each_language(
    read: Callable[..., Examination], value: str, words: dict[str, str]
) -> None:
    examination = read(_scopes(value))
    assert examination.findings == ()
    assert examination.settings is not None
    options = embedded_options(examination.settings)
    assert options is not None
    assert options.scopes == {"orders:read": words}


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        ("{fr: Voir}", 'scopes.orders:read.fr: there are no pages in "fr"; write en or ko'),
        ("{KO: 보기}", 'there are no pages in "KO"; did you mean "ko"?'),
        ("{}", "the mapping is empty; write a description, or one for each language"),
        ("{en: }", "en: the key has no value; write a description, such as See your orders, or"),
        ("{en: 5}", '"5" is a number to YAML 1.1, not a description; write "5", in quotes'),
        ("[a]", "a list stands where a description, or one for each language belongs; write {en"),
        ('"two\\nlines"', "is not a description; write one line of at most 200 characters"),
    ],
)
def test_a_wrong_description_is_one_finding(
    check: Callable[..., list[str]], value: str, finding: str
) -> None:
    [found] = check(_scopes(value))
    assert finding in found


@pytest.mark.parametrize(
    ("value", "brand"),
    [
        ("{name: Beispiel GmbH}", Brand("Beispiel GmbH", "#2457c5")),
        ('{color: "#0A7"}', Brand("Gateway", "#00aa77")),
        ('{name: 주문 회사, color: "#FFee00"}', Brand("주문 회사", "#ffee00")),
        ("{}", Brand()),
    ],
)
def test_the_brand_reaches_the_pages(
    read: Callable[..., Examination], value: str, brand: Brand
) -> None:
    settings = read(_brand(value)).settings
    assert settings is not None
    options = embedded_options(settings)
    assert options is not None
    assert options.brand == brand


def test_the_settings_and_the_server_have_the_same_brand_by_default(
    read: Callable[..., Examination],
) -> None:
    settings = read(VALID).settings
    assert settings is not None
    options = embedded_options(settings)
    assert options is not None
    assert options.brand == Brand()


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        ("{color: blue}", '"blue" is not a colour; write six hexadecimal digits behind #, in quo'),
        ('{color: "#12345"}', '"#12345" is not a colour; '),
        ('{color: "#12345g"}', '"#12345g" is not a colour; '),
        ('{color: "#fff\\n"}', "is not a colour; "),
        ("{color: 2457c5}", '"2457c5" lacks the # of a colour; write "#2457c5", in quotes'),
        ("{color: 245}", '"245" lacks the # of a colour; write "#245", in quotes'),
        ("{color: 112233}", '"112233" lacks the # of a colour; write "#112233", in quotes'),
        ('{name: " "}', '" " is not a name to show; write one line of at most 60 characters'),
        (f"{{name: {'x' * 61}}}", "is not a name to show; "),
        ("{name: 7}", '"7" is a number to YAML 1.1, not a name to show; write "7", in quotes'),
        ("{colour: red}", 'the key "colour" is unknown here; did you mean "color"?'),
        ("blue", "a single value stands where a mapping with name and color belongs"),
    ],
)
def test_a_wrong_brand_is_one_finding(
    check: Callable[..., list[str]], value: str, finding: str
) -> None:
    [found] = check(_brand(value))
    assert finding in found


def test_a_colour_without_quotes_is_told_to_be_a_comment(check: Callable[..., list[str]]) -> None:
    [found] = check(_brand("\n        color: #2457c5"))
    assert (
        'no value, as # begins a comment where no quotes stand; write it as in color: "#' in found
    )


@pytest.mark.parametrize(
    ("scopes", "color", "is_valid"),
    [
        ({"a": "Words"}, "#2457c5", True),
        ({"a": {"en": "Words", "ko": "말"}}, "#FFF", True),
        ({"a": {"fr": "Mots"}}, "#fff", False),
        ({"a": {}}, "#fff", False),
        ({"a": ["Words"]}, "#fff", False),
        ({"a": "Words"}, "blue", False),
    ],
)
def test_the_json_schema_says_the_same(scopes: object, color: str, is_valid: bool) -> None:
    schema = json_schema()
    embedded = {"scopes": scopes, "brand": {"color": color}}
    found = list(validate(embedded, schema["$defs"]["Embedded"], schema))
    assert (found == []) is is_valid
