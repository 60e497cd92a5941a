"""Passwords: the same cost for everybody, and never more than two at once."""

import asyncio
import threading
import unicodedata
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, extract_parameters

from gateway.authserver.people.passwords import Passwords, PasswordsBusy, Verdict, hash_password

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
DEARER = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)


class Watched(PasswordHasher):
    """Counts verifications, and lets them wait for leave."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str] = []
        self.longest = 0
        self.leave = threading.Event()
        self.leave.set()
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
        with self._lock:
            self.verified.append(str(hash))
            self.longest = max(self.longest, len(password))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            assert self.leave.wait(30)
            return super().verify(hash, password)
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def hasher() -> Watched:
    return Watched()


@pytest.fixture
def passwords(hasher: Watched) -> Iterator[Passwords]:
    passwords = Passwords(hasher)
    yield passwords
    hasher.leave.set()
    passwords.close()


def test_a_password_rests_as_argon2id_with_the_librarys_parameters() -> None:
    found = extract_parameters(hash_password("password"))
    assert found == extract_parameters(PasswordHasher().hash("x"))
    assert hash_password("password").startswith("$argon2id$")


async def test_the_right_password_is_right_and_another_is_not(passwords: Passwords) -> None:
    known = hash_password("correct horse", CHEAP)
    assert await passwords.verify(known, "correct horse") == Verdict(is_right=True)
    for wrong in ("correct horse ", "Correct horse", "", "x" * 100_000, "ü", '"\\'):
        assert await passwords.verify(known, wrong) == Verdict(is_right=False)


async def test_what_looks_the_same_is_the_same(passwords: Passwords) -> None:
    for text in ("pässwörter", "비밀번호비밀번호", "🐎🔋🐎🔋🐎🔋🐎🔋"):
        known = hash_password(unicodedata.normalize("NFD", text), CHEAP)
        for form in ("NFC", "NFD"):
            assert (await passwords.verify(known, unicodedata.normalize(form, text))).is_right


@pytest.mark.parametrize("known", ["right", None, "broken", "over-long"])
async def test_each_try_costs_one_verification(
    passwords: Passwords, hasher: Watched, known: str | None
) -> None:
    """An unknown person, a broken record, a password that nobody can have: all the same."""
    stored = hash_password("password", CHEAP) if known in ("right", "over-long") else None
    typed = "x" * 1025 if known == "over-long" else "wrong password"
    await passwords.verify(stored, typed)
    assert len(hasher.verified) == 1
    assert hasher.longest <= 1024
    assert extract_parameters(hasher.verified[0]) == extract_parameters(CHEAP.hash("x"))


async def test_nobody_has_no_password(passwords: Passwords) -> None:
    for text in ("", "password", "x" * 1025):
        assert not (await passwords.verify(None, text)).is_right


async def test_a_broken_record_is_logged_and_nobodys(
    passwords: Passwords, caplog: pytest.LogCaptureFixture
) -> None:
    assert not (await passwords.verify("no hash", "password")).is_right
    assert "could not be verified" in caplog.text
    assert "no hash" not in caplog.text


async def test_when_parameters_rise_the_right_password_is_hashed_anew() -> None:
    old = hash_password("password", CHEAP)
    passwords = Passwords(DEARER)
    try:
        assert (await passwords.verify(old, "wrong password")).new_hash is None
        verdict = await passwords.verify(old, "password")
        assert verdict.new_hash is not None
        assert extract_parameters(verdict.new_hash) == extract_parameters(DEARER.hash("x"))
        assert await passwords.verify(verdict.new_hash, "password") == Verdict(is_right=True)
        assert verdict.new_hash not in repr(verdict)
    finally:
        passwords.close()


async def test_a_server_holds_passwords_to_the_librarys_parameters() -> None:
    passwords = Passwords()
    try:
        verdict = await passwords.verify(hash_password("password", CHEAP), "password")
    finally:
        passwords.close()
    assert verdict.new_hash is not None
    assert extract_parameters(verdict.new_hash) == extract_parameters(PasswordHasher().hash("x"))


async def test_at_most_two_are_hashed_at_once_and_few_wait(
    passwords: Passwords, hasher: Watched
) -> None:
    hasher.leave.clear()
    tries = [asyncio.create_task(passwords.verify(None, "x")) for _ in range(66)]
    await asyncio.sleep(0)
    for _ in range(10):
        with pytest.raises(PasswordsBusy):
            await passwords.verify(None, "x")
    hasher.leave.set()
    assert not any(verdict.is_right for verdict in await asyncio.gather(*tries))
    assert hasher.most_running == 2
    await passwords.verify(None, "x")  # the places are free again


async def test_who_goes_away_gives_no_place_back_before_the_work_is_done(
    passwords: Passwords, hasher: Watched
) -> None:
    hasher.leave.clear()
    tries = [asyncio.create_task(passwords.verify(None, "x")) for _ in range(66)]
    while hasher.running < 2:  # noqa: ASYNC110 - it is threads that are waited for
        await asyncio.sleep(0.001)
    for one in tries[:2]:
        one.cancel()
    await asyncio.gather(*tries[:2], return_exceptions=True)
    with pytest.raises(PasswordsBusy):
        await passwords.verify(None, "x")
    hasher.leave.set()
    await asyncio.gather(*tries[2:])


@pytest.mark.parametrize(
    "text", ["", "1234567", "x" * 1025, "with\0nul!", "new\nline", "\ud800" * 9]
)
def test_what_no_form_could_send_is_no_password(text: str) -> None:
    with pytest.raises(ValueError, match="a password has"):
        hash_password(text, CHEAP)


@pytest.mark.parametrize("text", ["12345678", "x" * 1024, "가나다라마바사아", " blanks "])
def test_everything_else_is_one(text: str) -> None:
    assert hash_password(text, CHEAP)
