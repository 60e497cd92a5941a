"""The tree of a YAML file: its marks, and what of YAML is refused."""

from collections.abc import Callable

import pytest
import yaml

from gateway.settings import document
from tests.settings.conftest import VALID

Check = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ("", "1:1: the file is empty; "),
        ("- a\n- b\n", "1:1: the file holds a list, not settings; "),
        ("\n\njust text\n", "3:1: the file holds a single value, not settings; "),
        ("listen: x\n\troutes: []\n", "2:1: a tab indents this line; YAML wants spaces"),
        ("listen: [a\n", "2:1: this is not YAML: "),
        ('listen: "a\n', "2:1: this is not YAML: "),
        ("a: b: c\n", "1:5: this is not YAML: "),
        ("a: @b\n", "1:4: this is not YAML: found character that cannot start any token; put"),
        ("a: é\x07\n", "1:5: the character U+0007 cannot stand in YAML; "),
        ("a: " + "[" * 40 + "]" * 40, "1:35: lists and mappings are nested more than 32 deep; "),
        ("a: " + "[" * 100_000, "1:35: lists and mappings are nested more than 32 deep; "),
    ],
)
def test_a_file_without_a_tree_has_the_one_finding_that_says_why(
    check: Check, content: str | bytes, finding: str
) -> None:
    [line] = check(content)
    assert line.startswith(finding)


@pytest.mark.parametrize(
    ("addition", "finding"),
    [
        ("---\nlisten: 127.0.0.1:1\n", "11:1: a second YAML document begins here; "),
        ("limits: &a {}\n", "11:9: limits: an anchor stands here; "),
        ("limits: *a\n", "11:9: limits: an alias stands here; "),
        ("limits: !!map {}\n", "11:9: limits: a YAML tag stands here; "),
        ("limits: {body: !!python/name:os.system ''}\n", "11:16: limits.body: a YAML tag "),
        ("limits: {<<: {body: 1KiB}}\n", "11:10: limits: a merge key (<<) stands here; "),
        ("? [a, b]\n: c\n", "11:3: a key is a list or a mapping; "),
        ("on: 1\n", '11:1: the key "on" is the boolean true to YAML 1.1, not text; '),
        ("12: 1\n", '11:1: the key "12" is a number to YAML 1.1, not text; '),
        ("~: 1\n", '11:1: the key "~" is nothing to YAML 1.1, not text; '),
        ("routes: []\n", "11:1: routes: the key stands twice, first on line 7; keep one of them"),
    ],
)
def test_what_a_configuration_does_not_need_of_yaml_is_refused(
    check: Check, addition: str, finding: str
) -> None:
    assert any(line.startswith(finding) for line in check(VALID + addition)), check(
        VALID + addition
    )


def test_aliases_that_would_blow_up_are_never_followed(check: Check) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    findings = check("\n".join(["a0: &a0 [x]", *levels]))
    assert any("an alias stands here" in line for line in findings)
    assert len(findings) < 200


def test_a_byte_order_mark_and_windows_line_ends_are_harmless(check: Check) -> None:
    assert check("\ufeff" + VALID.replace("\n", "\r\n")) == []


def test_marks_count_characters_not_bytes(check: Check) -> None:
    [line] = check(VALID.replace("See your orders", "Bestellungen für dich ansehen ☃") + "x: 1\n")
    assert line.startswith("11:1: x:")
    [line] = check(VALID.replace("{servers", '{"ö": 1, servers'))
    assert line.startswith('6:12: upstreams.orders["ö"]')


@pytest.mark.parametrize("secret", ["!geheim", "&geheim", "*geheim", "geheim: x", "{geheim: x}"])
def test_a_secret_that_yaml_takes_for_its_own_is_not_quoted(check: Check, secret: str) -> None:
    foreign = (
        "  foreign:\n    introspection:\n      issuer: https://a.example\n"
        "      url: https://a.example/i\n      client_id: g\n"
        f"      client_secret: {secret}\n"
    )
    findings = check(VALID.replace("upstreams:", foreign + "upstreams:"))
    assert findings
    assert not [line for line in findings if "geheim" in line]


def test_the_parser_in_python_finds_the_same(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    content = VALID + "limits: &a {body: 1:30}\nlimits: *a\n'on': !x 1\n"
    findings = check(content)
    monkeypatch.setattr(document, "_PARSER", yaml.SafeLoader)
    assert check(content) == findings
    assert check("a: [\n") != []
    assert [line.partition(" ")[0] for line in check("a:\n\tb: 1\n")] == ["2:1:"]
