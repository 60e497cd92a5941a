"""The words of the Order desk, in both languages."""

import re
import string
from importlib.resources import files

import pytest

from gateway.client.order_desk.language import WORDS, prose
from gateway.client.order_desk.panel import _RESULTS, STEPS, Progress
from gateway.client.order_desk.sessions import News
from gateway.client.order_desk.wire import Kind, Party

TEMPLATES = files("gateway.client.order_desk") / "templates"


def used_keys():
    """The keys that the templates name, and those that the code makes."""
    for template in TEMPLATES.iterdir():
        yield from re.findall(r'words\["([a-z_.]+)"\]', template.read_text(encoding="utf-8"))
    yield from (f"news.{news}" for news in News)
    yield from (f"why.{kind}" for kind in Kind)
    yield from (f"step.{step}" for step in STEPS)
    yield from (f"step.{step}.will" for step in STEPS)
    yield from (f"panel.{progress}" for progress in Progress)
    yield from (f"roles.{party}" for party in Party)
    yield from _RESULTS.values()


@pytest.mark.parametrize("language", WORDS)
def test_every_word_that_is_used_is_there(language):
    assert sorted(set(used_keys()) - WORDS[language].keys()) == []


def test_both_languages_have_the_same_words():
    assert WORDS["en"].keys() == WORDS["ko"].keys()


@pytest.mark.parametrize("key", WORDS["en"])
def test_a_sentence_has_the_same_gaps_in_both_languages(key):
    """And the same terms of the protocol as code, but for their order."""
    english, korean = WORDS["en"][key], WORDS["ko"][key]
    gaps = [
        sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)
        for text in (english, korean)
    ]
    assert gaps[0] == gaps[1]
    assert sorted(re.findall("`[^`]*`", english)) == sorted(re.findall("`[^`]*`", korean))


@pytest.mark.parametrize("text", WORDS["en"].values())
def test_an_access_token_is_never_called_a_login(text):
    assert not re.search(r"(?i)\blog-?in\b|\blogged\b", text)


def test_the_korean_is_korean():
    english = [
        key
        for key, text in WORDS["ko"].items()
        if not re.search("[가-힣]", text) and text.strip("`").isascii()
    ]
    assert english == []


def test_prose_escapes_all_but_its_own_code():
    assert prose("`a<b>` & `c`") == "<code>a&lt;b&gt;</code> &amp; <code>c</code>"
