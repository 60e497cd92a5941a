"""The name by which a gateway knows itself: made once, kept, shared by its workers."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.middleware.instance import InstanceUnknown, own_pseudonym


def test_it_is_made_once_and_kept_for_the_owner_alone(tmp_path: Path) -> None:
    name = own_pseudonym(tmp_path)
    assert re.fullmatch(r"gateway-[0-9a-f]{12}", name)
    assert own_pseudonym(tmp_path) == name
    assert stat.S_IMODE((tmp_path / "instance").stat().st_mode) == 0o600


def test_two_gateways_have_two_names(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert own_pseudonym(tmp_path) != own_pseudonym(tmp_path / "other")


def test_workers_that_start_side_by_side_have_one_name(tmp_path: Path) -> None:
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(own_pseudonym, [folder] * 8))) == 1


@pytest.mark.parametrize(
    "content", [b"short\n", b"0123456789AB\n", b"0123456789ab\nmore", b"\xff", b"x" * 100]
)
def test_a_file_that_holds_something_else_is_not_used(tmp_path: Path, content: bytes) -> None:
    """Two workers must never have two names because one of them has mended it."""
    (tmp_path / "instance").write_bytes(content)
    with pytest.raises(InstanceUnknown, match=r"instance: it does not hold .*; remove it"):
        own_pseudonym(tmp_path)
    assert (tmp_path / "instance").read_bytes() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "instance").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InstanceUnknown):
        own_pseudonym(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
