"""How a time is written in a Date."""

from email.utils import formatdate

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.policy.dates import http_date

# The year 9999 is the last one that the format can write.
LAST = 253_402_300_799


@given(st.integers(min_value=0, max_value=LAST))
@example(951_782_399)  # 28 February 2000, its last second
@example(951_782_400)
@example(951_868_800)
@example(4_107_542_400)  # 1 March 2100, which has no leap day before it
@example(4_107_542_399)
@example(LAST)
def test_every_second_is_written_as_the_library_writes_it(second: int) -> None:
    assert http_date(second) == formatdate(second, usegmt=True).encode()
