import json

import pytest

from tests.parts.get import PARTS, ROOT, DebianPart, NodePart, PartMissing, PythonPart, parts_for


@pytest.mark.parametrize("name", [part.name for part in parts_for("test")])
def test_every_real_part_of_the_tests_is_here(name):
    """A part that is missing is a failure with the command that mends it, never a skipped test."""
    part = next(part for part in parts_for("test") if part.name == name)
    try:
        assert part.locate().is_file()
    except PartMissing as missing:
        pytest.fail(str(missing))


def test_a_missing_part_says_what_to_install():
    with pytest.raises(PartMissing, match="apt-get install no-such-package"):
        DebianPart("no-such-program", package="no-such-package", uses=("test",)).locate()


def test_a_part_that_lost_its_program_is_missing():
    """What a copy of .parts leaves behind: the stamp that says "installed", and no program."""
    part = PythonPart("httpbin", program="no-such-program", uses=("test",))
    with pytest.raises(PartMissing, match="make test"):
        part.locate()


@pytest.mark.parametrize("part", [part.name for part in PARTS if isinstance(part, NodePart)])
def test_the_lock_of_the_node_parts_has_hashes_and_no_address(part):
    text = (ROOT / "tests" / "parts" / part / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in text, "take out what npm adds of registries and of funding"
    lock = json.loads(text)
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
