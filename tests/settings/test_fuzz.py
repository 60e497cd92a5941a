"""Whatever stands in a file, reading it ends in settings or in findings, never in anything else."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import (
    Examination,
    SettingsError,
    SettingsUnreadable,
    compile_routes,
    examine,
    load,
)
from gateway.settings.models import GatewaySettings
from gateway.settings.one_or_more import OneOrMore
from gateway.settings.shapes import Items, Section, Shape, Table, fields_of
from tests.settings.conftest import VALID


def _examine(content: bytes) -> Examination:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.yaml"
        path.write_bytes(content)
        try:
            examination = examine(path, {})
        except SettingsUnreadable as unreadable:
            examination = Examination(None, unreadable.findings)
        if examination.settings is None:
            assert examination.findings
            with pytest.raises(SettingsError):
                load(path, {})
        else:
            compile_routes(examination.settings)
        for finding in examination.findings:
            assert str(finding).isprintable()
            assert "; " in finding.message
        return examination


@given(st.binary(max_size=300))
def test_random_bytes(content: bytes) -> None:
    _examine(content)


@given(st.text(alphabet=st.sampled_from("ab:-?#&*!|>'\"%@`[]{},\n \t<~.0123456789"), max_size=200))
def test_random_yaml_punctuation(content: str) -> None:
    _examine(content.encode())


_SCALARS = st.one_of(
    st.sampled_from(
        [
            *("on", "1:30", "~", "", "<<", "0x1F", "010", "2020-01-01", ".nan", "30s", "64KiB"),
            *("orders", "local", "/orders/**", "/{id}", "http://127.0.0.1:8000", "127.0.0.1:0"),
            *("GET", "HEAD", "orders:read", "true", "false", "*", "{}", "[]", "sqlite:///a.db"),
            *("https://a.example", "::1", "[::1]:1", "10.0.0.0/8", "0.0.0.0:1", "all", "json"),
            *("unix:s", "unix:./s", "127.0.0.1:1", "localhost:1"),
        ]
    ),
    st.text(max_size=8),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(),
)


def _values(shape: Shape) -> st.SearchStrategy[Any]:
    """Give values that nearly have a shape, so that they get past its first door."""
    match shape:
        case Section():
            right = st.deferred(lambda: _sections(shape))
        case Table():
            keys = st.sampled_from(["orders", "local", "a b", "on", "orders:read"])
            right = st.dictionaries(keys, _values(shape.value), max_size=3)
        case Items():
            right = st.lists(_values(shape.item), max_size=3)
        case OneOrMore():
            right = st.one_of(_SCALARS, st.lists(_SCALARS, max_size=4))
        case _:
            right = _SCALARS
    return st.one_of(right, right, right, _SCALARS)


def _sections(section: Section) -> st.SearchStrategy[dict[str, Any]]:
    keys = {name: _values(key.shape) for name, key in fields_of(section.model).items()}
    return st.fixed_dictionaries({}, optional={**keys, "unknown": _SCALARS})


@given(_sections(Section(GatewaySettings)), st.booleans())
def test_documents_of_nearly_the_right_shape(document: dict[str, Any], is_quoted: bool) -> None:
    text = yaml.safe_dump(document, default_style='"' if is_quoted else None, allow_unicode=True)
    _examine(text.encode())


_LINES = VALID.splitlines(keepends=True)


@given(st.data())
def test_a_valid_file_with_pieces_cut_moved_and_replaced(data: st.DataObject) -> None:
    text = "".join(data.draw(st.permutations(_LINES)) if data.draw(st.booleans()) else _LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + str(data.draw(_SCALARS)) + text[end:]
    _examine(text.encode("utf-8", "surrogatepass"))


def test_the_unchanged_file_is_valid(read: Callable[..., Examination]) -> None:
    assert read(VALID).findings == ()
