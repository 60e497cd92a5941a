"""The models: every key is described, and each default is one that the file could have."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from gateway.settings.document import Mark, Scalar
from gateway.settings.models import GatewaySettings
from gateway.settings.one_or_more import OneOrMore
from gateway.settings.quantities import format_duration
from gateway.settings.shapes import Items, Key, Section, Table, Text, fields_of


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Key]]:
    for name, key in fields_of(model).items():
        yield f"{prefix}{name}", key
        shape = key.shape
        inner = shape.item if isinstance(shape, Items) else shape
        inner = inner.value if isinstance(inner, Table) else inner
        if isinstance(inner, Section):
            yield from _keys(inner.model, f"{prefix}{name}.")


KEYS = dict(_keys(GatewaySettings))


@pytest.mark.parametrize("name", KEYS)
def test_every_key_is_described_in_a_sentence(name: str) -> None:
    words = KEYS[name].words
    assert words.endswith(".")
    assert words[0].isupper()


@pytest.mark.parametrize(
    "name",
    [name for name, key in KEYS.items() if isinstance(key.shape, Text | OneOrMore) and key.default],
)
def test_every_default_reads_as_itself(name: str) -> None:
    key = KEYS[name]
    assert isinstance(key.shape, Text | OneOrMore)
    node = Scalar(Mark(1, 1), key.default, "str", is_plain=False)
    assert key.shape.read(node, None) == key.info.get_default()  # type: ignore[arg-type]


def test_the_defaults_are_written_as_the_contract_has_them() -> None:
    assert KEYS["introspection_cache.max_lifetime"].default == "60s"
    assert KEYS["upstreams.timeouts.connect"].default == "2s"
    assert KEYS["limits.body"].default == "100MiB"
    assert KEYS["authorization_servers.embedded.access_token_lifetime"].default == "10m"
    assert format_duration(KEYS["timeouts.idle"].info.default) == "75s"


def test_no_key_is_there_that_is_not_enforced_yet() -> None:
    assert "routes.mode" not in KEYS
