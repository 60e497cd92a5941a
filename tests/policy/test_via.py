"""Whether Via names a proxy (RFC 9110, section 7.6.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.via import names_proxy

OURS = "gateway-0123456789ab"


@pytest.mark.parametrize(
    ("lines", "is_named"),
    [
        ([f"1.1 {OURS}"], True),
        ([f"1.0 fred, 1.1 {OURS}"], True),
        ([f"1.1 {OURS},1.1 nginx"], True),
        ([f"HTTP/1.1 {OURS} (a comment)"], True),
        (["1.1 a", f"\t2  {OURS}  (x, y) , 1.1 b"], True),
        ([], False),
        ([""], False),
        (["1.1 gateway-0123456789ac"], False),
        ([f"1.1 {OURS}0"], False),
        ([f"1.1 x{OURS}"], False),
        ([f"1.1 a ({OURS})"], False),
        ([f"1.1 a (1.1 b, 1.1 {OURS})"], False),
        ([f"{OURS} a"], False),
    ],
)
def test_a_table_of_lines(lines, is_named):
    assert names_proxy(lines, OURS) is is_named


entries = st.from_regex(r"[12]\.[01] [a-z.]{1,9}( \([a-z ,]{0,9}\))?", fullmatch=True)


@given(st.lists(st.lists(entries, max_size=3), max_size=3), st.booleans(), st.data())
def test_we_are_named_exactly_when_one_of_the_entries_names_us(lines, is_named, data):
    if is_named:
        line = data.draw(st.sampled_from(lines)) if lines else lines.append([]) or lines[0]
        line.insert(data.draw(st.integers(0, len(line))), f"1.1 {OURS}")
    assert names_proxy([", ".join(line) for line in lines], OURS) is is_named


@given(st.lists(st.text(), max_size=3))
def test_any_text_can_be_read(lines):
    names_proxy([f"{line}{OURS}{line}" for line in lines], OURS)
