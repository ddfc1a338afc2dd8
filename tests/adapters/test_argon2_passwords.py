"""Passwords are hashed as strongly as intended, off the event loop, and only so many at a time."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from adapters.argon2_passwords import Passwords
from domain.refusals import Overloaded


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(at_once=2, max_waiting=3)
    yield made
    made.close()


async def test_a_hash_is_argon2id_of_the_strength_intended(passwords: Passwords) -> None:
    hashed = await passwords.hash("secret word")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "secret" not in hashed
    assert hashed != await passwords.hash("secret word")


async def test_only_the_password_itself_matches(passwords: Passwords) -> None:
    hashed = await passwords.hash("secret word")
    assert await passwords.matches(hashed, "secret word")
    assert not await passwords.matches(hashed, "Secret word")
    assert not await passwords.matches(None, "secret word")


async def test_nobodys_password_costs_as_much_as_somebodys(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    check = passwords._check

    def watch(encoded: str, password: str) -> bool:
        checked.append(encoded)
        return check(encoded, password)

    monkeypatch.setattr(passwords, "_check", watch)
    await passwords.matches(None, "guess")
    (against,) = checked
    assert against.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_a_stored_hash_that_cannot_be_read_is_a_bug_not_a_wrong_password(passwords: Passwords) -> None:
    with pytest.raises(RuntimeError, match="cannot be read"):
        await passwords.matches("$argon2id$broken", "guess")


class Gate:
    """Work that lasts until it is let go, and knows how much of it ran at once."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def check(self, _hash: str, _password: str) -> bool:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.open.wait(5)
        with self._lock:
            self.running -= 1
        return True


async def test_two_run_three_wait_and_the_next_is_told_to_come_back(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(passwords, "_check", gate.check)
    tasks = [asyncio.create_task(passwords.matches("h", "p")) for _ in range(5)]
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded):
        await passwords.matches("h", "p")
    gate.open.set()
    assert await asyncio.gather(*tasks) == [True] * 5
    assert gate.most == 2
    assert await passwords.matches("h", "p")


async def test_what_became_forbidden_while_waiting_is_not_checked(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(passwords, "_check", gate.check)
    running = [asyncio.create_task(passwords.matches("h", "p")) for _ in range(2)]
    waiting = asyncio.create_task(passwords.matches("h", "p", before=_raises(PermissionError)))
    await asyncio.sleep(0.05)
    gate.open.set()
    assert await asyncio.gather(*running) == [True, True]
    with pytest.raises(PermissionError):
        await waiting


def _raises(kind: type[Exception]) -> Callable[[], Awaitable[None]]:
    async def before() -> None:
        await asyncio.sleep(0)
        raise kind

    return before


async def test_a_turn_that_was_forbidden_is_given_back(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        with pytest.raises(PermissionError):
            await passwords.matches(None, "p", before=_raises(PermissionError))
    assert not await passwords.matches(None, "p")


async def test_the_event_loop_goes_on_meanwhile(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(passwords, "_check", gate.check)
    task = asyncio.create_task(passwords.matches("h", "p"))
    began = time.monotonic()
    await asyncio.sleep(0.02)
    assert time.monotonic() - began < 2
    assert not task.done()
    gate.open.set()
    assert await task
