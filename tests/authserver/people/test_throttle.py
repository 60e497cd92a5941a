"""Throttling: who guesses is stopped, and nobody locks another out for good."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from limits.storage import memory

from gateway.authserver.people.throttle import Throttle, Throttled, Try, find_client_network


class Time:
    """The clock of the limits library."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    from gateway.authserver.people import throttle

    time = Time()
    monkeypatch.setattr(memory, "time", time)
    monkeypatch.setattr(throttle, "time", time)
    return time


def count_tries(throttle: Throttle, address: str, account: str, browser: str | None = None) -> int:
    """How many tries there are until the next one is refused; 1000: it never is."""
    for number in range(1000):
        try:
            throttle.begin_sign_in(address, account, browser)
        except Throttled:
            return number
    return 1000


def test_one_account_from_one_address() -> None:
    throttle = Throttle()
    assert count_tries(throttle, "a", "anne") == 10
    assert count_tries(throttle, "b", "anne") == 10
    assert count_tries(throttle, "a", "bert") == 10


def test_one_address_over_all_accounts() -> None:
    throttle = Throttle()
    tries = sum(count_tries(throttle, "a", f"person{number}") for number in range(100))
    assert tries == 50
    assert count_tries(throttle, "b", "anne") == 10


def test_one_account_from_everywhere() -> None:
    throttle = Throttle()
    assert sum(count_tries(throttle, f"address{number}", "anne") for number in range(100)) == 50


def test_a_browser_that_knows_the_person_is_outside_the_accounts_bucket() -> None:
    """A stranger elsewhere cannot lock a person out."""
    throttle = Throttle()
    for number in range(100):
        count_tries(throttle, f"address{number}", "anne")
    assert count_tries(throttle, "home", "anne", "her browser") == 10
    # A stolen mark does not open the account to guesses from everywhere.
    assert count_tries(throttle, "elsewhere", "anne", "her browser") == 0
    assert count_tries(throttle, "home", "anne") == 0


def test_a_window_ends_by_the_clock_whatever_is_tried_in_it(time: Time) -> None:
    throttle = Throttle()
    for number in range(100):
        count_tries(throttle, f"address{number}", "anne")
    for _ in range(3500):
        time.now += 1
        with pytest.raises(Throttled) as caught:
            throttle.begin_sign_in("new", "anne", None)
    assert caught.value.retry_after == 100
    time.now += 100
    throttle.begin_sign_in("new", "anne", None)


def test_refused_tries_say_when_to_come_back(time: Time) -> None:
    throttle = Throttle()
    count_tries(throttle, "a", "anne")
    time.now += 0.5
    with pytest.raises(Throttled) as caught:
        throttle.begin_sign_in("a", "anne", None)
    assert caught.value.retry_after == 600


def test_success_empties_its_own_buckets_and_costs_no_shared_one() -> None:
    throttle = Throttle()
    for _ in range(9):
        throttle.begin_sign_in("a", "anne", None)
    throttle.forgive(throttle.begin_sign_in("a", "anne", None))
    assert count_tries(throttle, "a", "anne") == 10
    for _ in range(1000):
        throttle.forgive(throttle.begin_sign_in("office", "bert", None))


def test_a_try_that_was_never_made_is_taken_back_alone() -> None:
    """Else whoever keeps the server busy would have as many guesses as they like."""
    throttle = Throttle()
    for _ in range(9):
        throttle.begin_sign_in("a", "anne", "her browser")
    for _ in range(100):
        throttle.forget(throttle.begin_sign_in("a", "anne", "her browser"))
    assert count_tries(throttle, "a", "anne", "her browser") == 1


@pytest.mark.parametrize("take_back", [Throttle.forget, Throttle.forgive])
@pytest.mark.parametrize("browser", [None, "her browser"])
def test_what_was_taken_back_leaves_no_empty_bucket(
    take_back: Callable[[Throttle, Try], None], browser: str | None
) -> None:
    """Nobody fills the memory with names."""
    throttle = Throttle()
    for number in range(100):
        take_back(throttle, throttle.begin_sign_in("a", f"person{number}", browser))
    assert throttle._storage.storage == {}
    assert throttle._storage.expirations == {}


def test_a_try_that_is_taken_back_after_its_window_pays_for_none_of_the_next(time: Time) -> None:
    throttle = Throttle()
    old = throttle.begin_sign_in("a", "anne", None)
    time.now += 3600
    throttle.forget(old)
    assert count_tries(throttle, "a", "anne") == 10


def test_success_of_one_account_pays_for_no_guesses_at_others() -> None:
    throttle = Throttle()
    for number in range(50):
        throttle.begin_sign_in("a", f"victim{number}", None)
        if number < 49:
            throttle.forgive(throttle.begin_sign_in("a", "own", None))
    with pytest.raises(Throttled):
        throttle.begin_sign_in("a", "victim", None)


def test_names_that_run_together_are_kept_apart() -> None:
    throttle = Throttle()
    assert count_tries(throttle, "a/b", "c") == 10
    assert count_tries(throttle, "b", "c/a") == 10


def test_codes_by_person_and_by_address() -> None:
    def tries(throttle: Throttle, address: str, person: str) -> int:
        for number in range(100):
            try:
                throttle.begin_code(address, person)
            except Throttled:
                return number
        return 100

    throttle = Throttle()
    assert tries(throttle, "a", "anne") == 10
    assert tries(throttle, "b", "anne") == 0
    assert sum(tries(throttle, "a", f"person{number}") for number in range(10)) == 40


PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "lines", "network"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # no proxy of ours: not believed
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, rubbish"], "-"),
        ("10.0.0.1", [""], "-"),
        ("10.0.0.1", ["10.0.0.9"], "10.0.0.9"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", [], "2001:db8:1:2::/64"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::/64"),
        ("", ["6.6.6.6"], "-"),
        (None, ["6.6.6.6"], "-"),
    ],
)
def test_where_a_request_comes_from(peer: str | None, lines: list[str], network: str) -> None:
    assert find_client_network(peer, lines, PROXIES) == network
