"""How many connections a listener takes, and from whom."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.connections import (
    ConnectionBounds,
    ConnectionCount,
    Refused,
    needed_descriptors,
    share_descriptors,
)

ADDRESSES = st.one_of(
    st.none(),
    st.builds(lambda n: str(IPv4Address(n)), st.integers(0, 3)),
    st.builds(lambda n: str(IPv6Address(n << 62)), st.integers(0, 15)),
)


@given(st.lists(st.tuples(st.booleans(), ADDRESSES), max_size=60))
def test_no_bound_is_ever_passed_and_what_left_leaves_nothing(
    steps: list[tuple[bool, str | None]],
) -> None:
    count = ConnectionCount(ConnectionBounds(total=6, per_address=2))
    inside: list[int] = []
    for enters, peer in steps:
        if enters:
            admitted = count.admit(peer)
            if isinstance(admitted, Refused):
                assert len(inside) == 6 or admitted is Refused.TOO_MANY_OF_ONE
            else:
                inside.append(admitted)
        elif inside:
            count.release(inside.pop(0))
        assert count.total == len(inside) <= 6
        assert all(1 <= number <= 2 for number in count.by_address.values())
    for key in inside:
        count.release(key)
    assert (count.total, count.by_address) == (0, {})


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("0.0.0.0", "::", False),
    ],
)
def test_an_address_is_one_of_ipv4_or_a_64_of_ipv6(first: str, second: str, is_one: bool) -> None:
    count = ConnectionCount(ConnectionBounds(total=9, per_address=1))
    assert not isinstance(count.admit(first), Refused)
    assert (count.admit(second) is Refused.TOO_MANY_OF_ONE) is is_one


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", None])
def test_exempt_peers_are_bounded_only_in_all(peer: str | None) -> None:
    exempt = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    count = ConnectionCount(ConnectionBounds(total=3, per_address=1, exempt=exempt))
    assert [count.admit(peer) for _ in range(4)] == [0, 0, 0, Refused.TOO_MANY]


@given(st.integers(1, 2_000_000), st.integers(1, 1_000_000), st.booleans())
def test_the_guard_gets_what_it_wants_or_what_there_is(
    available: int, wanted: int, has_embedded: bool
) -> None:
    shares = share_descriptors(available, wanted, has_embedded=has_embedded)
    assert 1 <= shares.guard <= wanted
    assert bool(shares.authorization_server) == has_embedded
    used = 2 * shares.guard + shares.admin + shares.authorization_server
    if available >= 256:
        assert used + 128 <= available
    if available >= needed_descriptors(wanted, has_embedded=has_embedded):
        assert shares.guard == wanted
