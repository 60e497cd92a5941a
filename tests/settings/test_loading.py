"""Loading a file: everything that is wrong with it in one go, each finding at its line."""

import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.settings import (
    Address,
    Examination,
    GatewaySettings,
    SettingsError,
    SettingsUnreadable,
    Severity,
    examine,
    load,
)
from tests.settings.conftest import VALID

CASES = Path(__file__).parent / "cases"
_EXPECTED = re.compile(r"# finds: (.+)$")


def test_every_planted_mistake_is_found_in_one_go_at_its_line(tmp_path: Path) -> None:
    case = tmp_path / "planted.yaml"
    shutil.copyfile(CASES / "planted.yaml", case)
    case.chmod(0o644)
    expected = {
        number: sorted(match[1].split(", "))
        for number, line in enumerate(case.read_text().splitlines(), 1)
        if (match := _EXPECTED.search(line))
    }
    assert sum(map(len, expected.values())) > 80

    found = defaultdict(list)
    for finding in examine(case, {}).findings:
        found[finding.line].append(finding.id)

    assert {line: sorted(ids) for line, ids in found.items()} == expected


def test_no_finding_of_the_planted_mistakes_quotes_a_secret() -> None:
    content = (CASES / "planted.yaml").read_text()
    assert content.count("geheim") >= 3
    findings = examine(CASES / "planted.yaml", {}).findings
    assert not [finding for finding in findings if "geheim" in str(finding)]


def test_every_message_says_what_is_wrong_and_then_the_mend() -> None:
    for finding in examine(CASES / "planted.yaml", {}).findings:
        what, separator, mend = finding.message.partition("; ")
        assert separator, finding
        assert what, finding
        assert mend, finding
        assert finding.message.count("; ") == 1, finding
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", finding.id), finding


def test_findings_come_in_the_order_of_the_file() -> None:
    findings = examine(CASES / "planted.yaml", {}).findings
    places = [(finding.line, finding.column) for finding in findings]
    assert places == sorted(places)


def test_a_finding_reads_as_file_line_column_path_what_and_the_mend(
    write: Callable[[str], Path],
) -> None:
    path = write(VALID.replace("/orders/**", "orders"))
    [finding] = examine(path, {}).findings
    assert str(finding) == (
        f"{path}:9:19: routes[0].match.path: a path begins with a slash; "
        "write it from the root, like /orders/**"
    )


def test_a_finding_about_the_whole_file_has_no_path(check: Callable[..., list[str]]) -> None:
    assert check("# nothing but a comment\n") == [
        "1:1: the file is empty; write at least upstreams and routes"
    ]


def test_load_raises_every_error_at_once_and_no_warning(write: Callable[[str], Path]) -> None:
    path = write("admin_listen: 0.0.0.0:9090\nlisten: nowhere\n" + VALID + "nonsense: 1\n")
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    assert [finding.id for finding in caught.value.findings] == ["invalid-address", "unknown-key"]
    assert str(caught.value).count("\n") == 1


def test_a_warning_does_not_keep_a_file_from_loading(read: Callable[..., Examination]) -> None:
    examination = read("admin_listen: 0.0.0.0:9090\n" + VALID)
    assert examination.settings is not None
    assert [finding.severity for finding in examination.findings] == [Severity.WARNING]


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(SettingsUnreadable, match=r"no such file or directory\); give the path"):
        load(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"a: \xff\n", "1:4: byte 0xFF is not UTF-8; save the file with the encoding UTF-8"),
        ("a: é\nb: ".encode() + b"\xe9", "2:4: byte 0xE9 is not UTF-8; "),
        ("a: b\n".encode("utf-16"), "1:1: byte 0xFF is not UTF-8; "),
        (b"#" * (1024 * 1024 + 1), "1:1: the file is larger than 1MiB; "),
    ],
)
def test_a_file_that_is_no_text_cannot_be_read(
    write: Callable[[str | bytes], Path], content: bytes, finding: str
) -> None:
    file = write(content)
    with pytest.raises(SettingsUnreadable) as caught:
        examine(file, {})
    [found] = caught.value.findings
    assert str(found).startswith(f"{file}:{finding}")


@pytest.mark.parametrize("name", ["", "with\0nul"])
def test_what_is_no_file_is_unreadable(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsUnreadable):
        load(tmp_path / name)


def test_defaults_are_those_of_the_contract(write: Callable[[str], Path]) -> None:
    path = write(VALID)
    settings = load(path, {})
    folder = path.parent
    assert settings.listen == (Address("127.0.0.1", 8080),)
    assert str(settings.admin_listen) == "127.0.0.1:9090"
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.state_dir == folder / "state"
    assert settings.trusted_proxies == ()
    embedded = settings.authorization_servers["local"].embedded
    assert embedded is not None
    assert str(embedded.listen) == "127.0.0.1:8081"
    assert embedded.issuer == "http://127.0.0.1:8081"
    assert embedded.database.get_secret_value() == f"sqlite:///{folder}/state/gateway.db"
    assert embedded.access_token_lifetime == 600.0
    assert (embedded.refresh_token_lifetime, embedded.session_lifetime) == (2_592_000, 43_200)
    cache = settings.introspection_cache
    assert (cache.max_lifetime, cache.negative_lifetime, cache.max_entries) == (60.0, 5.0, 100_000)
    upstream = settings.upstreams["orders"].timeouts
    assert (upstream.connect, upstream.response, upstream.idle) == (2.0, 30.0, 60.0)
    limits = settings.limits
    assert (limits.body, limits.headers, limits.header_bytes) == (104_857_600, 100, 32_768)
    assert (settings.timeouts.head, settings.timeouts.body, settings.timeouts.idle) == (10, 30, 75)
    assert (settings.access_log, settings.log_format) == ("all", "auto")
    assert settings.routes[0].upstream == "orders"
    assert settings.routes[0].authorization_server == ("local",)


def test_relative_paths_count_from_the_folder_of_the_file(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("state_dir: ../elsewhere\n" + VALID)
    monkeypatch.chdir(path.parent)
    settings = load(Path("gateway.yaml"), {})
    assert settings.state_dir == path.parent.parent / "elsewhere"


def test_settings_cannot_be_changed(write: Callable[[str], Path]) -> None:
    settings = load(write(VALID), {})
    with pytest.raises(ValueError, match="frozen"):
        settings.public_url = "http://evil.example"  # type: ignore[misc]


def test_a_file_of_nothing_but_mistakes_has_a_bounded_number_of_findings(
    read: Callable[..., Examination],
) -> None:
    content = "".join(f"nonsense{number}: 1\n" for number in range(3000))
    assert len(read(content).findings) == 1000


def test_the_models_have_the_last_word_on_every_value(write: Callable[[str], Path]) -> None:
    settings = load(write(VALID), {})
    upstream = settings.upstreams["orders"]
    broken = upstream.model_copy(update={"servers": "http://127.0.0.1:8000"})
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate(settings.model_copy(update={"upstreams": {"a": broken}}))


def test_port_0_is_left_to_the_system(write: Callable[[str], Path]) -> None:
    settings = load(write("listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n" + VALID), {})
    assert settings.listen[0].port == settings.admin_listen.port == 0
