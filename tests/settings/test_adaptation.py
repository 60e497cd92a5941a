"""What routes change of their requests: what is wrong with it is found, with the mend."""

from collections.abc import Callable

import pytest

from tests.settings.conftest import VALID

Check = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("path", "forward_path", "finding"),
    [
        ("/orders/**", "/b", "the path that is matched ends in ** and this does not; end it with"),
        ("/orders", "/b/**", "this ends in ** and the path that is matched does not; end both"),
        ("/{a}/**", "/{b}/**", "{b} is not in the path that is matched, which has {a}; write"),
        ("/{a}", "/{a}/{a}", "{a} stands twice; use each name once"),
        ("/a", "b", '"b" is not a path; write it from the root, as in /legacy/**'),
        ("/a", "/../b", "can be read in more than one way (dot_segment); write the plain path"),
        ("/a", "/b/", "it does not end with a slash; write /b, to which the slash at the end"),
    ],
)
def test_a_path_that_cannot_be_forwarded_is_found(
    check: Check, path: str, forward_path: str, finding: str
) -> None:
    [found] = check(
        VALID.replace("{path: /orders/**}", f'{{path: "{path}"}}')
        + f'    forward_path: "{forward_path}"\n'
    )
    assert found.startswith("11:19: routes[0].forward_path: ")
    assert finding in found


@pytest.mark.parametrize(
    ("path", "forward_path"),
    [("/orders/**", "/**"), ("/t/{a}/{b}/**", "/{b}/x/{a}/**"), ("/", "/start"), ("/a", "/")],
)
def test_a_path_that_can_be_forwarded_is_not(check: Check, path: str, forward_path: str) -> None:
    text = VALID.replace("{path: /orders/**}", f'{{path: "{path}"}}')
    assert check(text + f'    forward_path: "{forward_path}"\n') == []


def test_a_broken_match_has_one_finding(check: Check) -> None:
    [found] = check(VALID.replace("/orders/**", "orders") + "    forward_path: /**\n")
    assert "routes[0].match.path" in found


@pytest.mark.parametrize(
    ("host", "finding"),
    [
        ("http://app.internal", '"http://app.internal" is not a host; write keep, upstream, or a'),
        ("app.internal/x", '"app.internal/x" is not a host; '),
        ('"a b"', '"a b" is not a host; '),
        ("app.internal:99999", '"app.internal:99999" is not a host; '),
        ('"127.1:80"', '"127.1" is an abbreviated address; '),
        ('"[::1"', '"[::1" is not a host; '),
        ("on", '"on" is the boolean true to YAML 1.1, not keep, upstream or a host; write "on"'),
    ],
)
def test_a_host_that_cannot_be_forwarded_is_found(check: Check, host: str, finding: str) -> None:
    [found] = check(VALID + f"    forward_host: {host}\n")
    assert found.startswith("11:19: routes[0].forward_host: ")
    assert finding in found


@pytest.mark.parametrize(
    "host", ["keep", "upstream", "app.internal", '"app.internal:80"', '"[::1]:8080"', "app_1"]
)
def test_a_host_that_can_be_forwarded_is_not(check: Check, host: str) -> None:
    assert check(VALID + f"    forward_host: {host}\n") == []
