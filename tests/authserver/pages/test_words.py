"""The catalogue of words: whole in both languages, and all of it used."""

import ast
import re
import string
from importlib.resources import files

import pytest

from gateway.authserver import pages
from gateway.authserver.pages.models import DeviceCodeProblem, ErrorKind, SignInProblem
from gateway.authserver.pages.words import CATALOGUE, MONTHS, Phrase
from gateway.policy.accept import LANGUAGES

FOLDER = files(pages)
TEMPLATES = "".join(
    one.read_text(encoding="utf-8") for one in FOLDER.joinpath("templates").iterdir()
)
PYTHON = FOLDER.joinpath("__init__.py").read_text(encoding="utf-8")


def _placeholders(words: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(words) if name is not None)


@pytest.mark.parametrize("key", CATALOGUE)
def test_every_phrase_is_there_in_both_languages_with_the_same_placeholders(key: str) -> None:
    phrase = CATALOGUE[key]
    assert phrase.en.strip() == phrase.en != ""
    assert phrase.ko.strip() == phrase.ko != ""
    assert _placeholders(phrase.en) == _placeholders(phrase.ko)
    assert re.search("[가-힣]", phrase.ko)
    assert not re.search("[가-힣]", phrase.en)
    assert not set("<>&") & set(phrase.en + phrase.ko)


@pytest.mark.parametrize("key", CATALOGUE)
def test_korean_sentences_are_polite_in_one_style(key: str) -> None:
    for sentence in re.findall(r"[^.?]+[.?]", CATALOGUE[key].ko):
        assert re.search(r"(요|세요)(\([^)]*\))?[.?]$", sentence.strip()), sentence


@pytest.mark.parametrize("key", CATALOGUE)
def test_a_korean_name_is_followed_by_a_noun(key: str) -> None:
    """A particle behind a name would have to know the name's last sound."""
    for particle in re.findall(r"\{(?:client|username|host|example)\}(\S*)", CATALOGUE[key].ko):
        assert particle in ("", ")으로")  # this one follows 프로그램, before the brackets


def test_a_key_is_written_once() -> None:
    tree = ast.parse(FOLDER.joinpath("words.py").read_text(encoding="utf-8"))
    keys = [
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    ]
    assert len(keys) == len(set(keys)) == len(CATALOGUE)


def test_every_key_is_used_and_every_one_that_is_used_is_there() -> None:
    made = {
        *(f"sign_in.{one.value}" for one in SignInProblem),
        *(f"device_code.{one.value}" for one in DeviceCodeProblem),
        *(f"error.{one.value}.{part}" for one in ErrorKind for part in ("title", "words", "mend")),
        *(
            f"device_done.{one}.{part}"
            for one in ("allowed", "denied")
            for part in ("title", "words")
        ),
    }
    # A key that goes on with ~ is made of parts, and is among those above.
    named = set(re.findall(r'say\("([a-z_.]+)"[,)]', TEMPLATES + PYTHON))
    assert named | made == set(CATALOGUE)


def test_there_are_twelve_months_and_two_languages() -> None:
    assert len(MONTHS) == 12
    assert Phrase._fields == LANGUAGES
