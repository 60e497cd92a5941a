"""How often somebody may guess: passwords, and the codes of devices.

What this file guards: guessing is bounded from one address, for one account from one address, and
for one account from everywhere; but no stranger locks a person out for good. A window ends by the
clock, whatever is tried in it; and a browser in which the person has signed in before is counted by
itself, outside the account's own bucket. Counts are one process's, and a restart forgets them.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage

from gateway.policy.addresses import IPNetwork, counted_as, find_client

_AT_ADDRESS = RateLimitItemPerMinute(50, 10, namespace="address")
_AT_ACCOUNT_AND_ADDRESS = RateLimitItemPerMinute(10, 10, namespace="account-address")
_AT_ACCOUNT = RateLimitItemPerHour(50, 1, namespace="account")
_AT_BROWSER = RateLimitItemPerMinute(10, 10, namespace="browser")
# 20^8 codes of ten minutes each: so few guesses never find one (RFC 8628, section 5.1).
_CODES_OF_PERSON = RateLimitItemPerMinute(10, 10, namespace="code-person")
_CODES_AT_ADDRESS = RateLimitItemPerMinute(50, 10, namespace="code-address")

# A device asks once for each time that somebody wants to connect it.
_DEVICES_AT_ADDRESS = RateLimitItemPerMinute(100, 10, namespace="device-address")


class Throttled(Exception):  # noqa: N818 - a state, not a fault
    """Too many tries; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"retry after {retry_after} s")


@dataclass(frozen=True, slots=True)
class Try:
    """A try that has been counted, and in which buckets."""

    keys: tuple[str, ...]
    own_keys: tuple[str, ...]


class Throttle:
    """Counts tries in fixed windows. It is used on the event loop alone."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()

    def begin_sign_in(self, address: str, account: str, browser: str | None) -> Try:
        """Count a try to sign in, before anything is hashed: parallel ones are bounded, too.

        Args:
            address: as `find_client_network` gives it.
            account: the name that was typed, whether there is such an account or not.
            browser: what tells the browser apart when the person has signed in there before.

        Raises:
            Throttled: there were too many; this one is not counted.
        """
        account_at_address = (_AT_ACCOUNT_AND_ADDRESS, account, address)
        if browser is None:
            whole_account: tuple[RateLimitItem, *tuple[str, ...]] = (_AT_ACCOUNT, account)
            return self._count([(_AT_ADDRESS, address), whole_account], [account_at_address])
        known_browser = (_AT_BROWSER, account, browser)
        return self._count([(_AT_ADDRESS, address)], [account_at_address, known_browser])

    def begin_code(self, address: str, user_id: str) -> Try:
        """Count a try to enter a device's code. Raises Throttled."""
        return self._count([(_CODES_AT_ADDRESS, address), (_CODES_OF_PERSON, user_id)], [])

    def begin_device(self, address: str) -> Try:
        """Count a request of a device for codes. Raises Throttled."""
        return self._count([(_DEVICES_AT_ADDRESS, address)], [])

    def forgive(self, counted: Try) -> None:
        """Take back a try that succeeded, and empty the buckets of whoever it was.

        Those that are shared with strangers only lose this one try: else somebody with an account
        would empty them for guesses at others.
        """
        self._take_back(counted.keys)
        for key in counted.own_keys:
            self._storage.clear(key)

    def forget(self, counted: Try) -> None:
        """Take back a try that was never made."""
        self._take_back((*counted.keys, *counted.own_keys))

    def _take_back(self, keys: Sequence[str]) -> None:
        for key in keys:
            # An empty bucket goes, or names that nobody has would stay behind.
            if self._storage.get(key) <= 1:
                self._storage.clear(key)
            else:
                self._storage.decr(key)

    def _count(
        self,
        shared: Sequence[tuple[RateLimitItem, *tuple[str, ...]]],
        own: Sequence[tuple[RateLimitItem, *tuple[str, ...]]],
    ) -> Try:
        found = [(_key(limit, *names), limit) for limit, *names in (*shared, *own)]
        full = [key for key, limit in found if self._storage.get(key) >= limit.amount]
        if full:
            ends = max(self._storage.get_expiry(key) for key in full)
            raise Throttled(max(1, math.ceil(ends - time.time())))
        for key, limit in found:
            self._storage.incr(key, limit.get_expiry())
        keys = tuple(key for key, _ in found)
        return Try(keys[: len(shared)], keys[len(shared) :])


def find_client_network(
    peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[IPNetwork]
) -> str:
    """Give where a request comes from, as it is counted: an IPv4 address or an IPv6 /64.

    `forwarded_for` are the lines of X-Forwarded-For, `trusted` the proxies that are believed.
    """
    return counted_as(find_client(peer or "", forwarded_for, trusted, trusts_unix=False))


def _key(limit: RateLimitItem, *names: str) -> str:
    # Hashed: what was typed may be long, and may hold the character that joins them.
    return limit.key_for(*(hashlib.sha256(name.encode()).hexdigest() for name in names))
