"""Session: a refresh token is good once; the second use ends the session."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.refusals import NoSuchSession, PasswordOutdated
from domain.session import (
    NONE,
    EndSession,
    OpenSession,
    RotateSession,
    Session,
    SessionBegun,
    SessionEnded,
    SessionRotated,
    decide_end,
    decide_open,
    decide_rotate,
    evolve,
)
from domain.user import User

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
END = AT + timedelta(days=30)
ANN = User(user_id=7, password_hash="$h", epoch=2)
OPEN = Session(7, "d1", END, is_open=True, epoch=2)
ENDED = Session(7, "", END, is_open=False, epoch=2)


def rotate(used: str, at: datetime = AT) -> RotateSession:
    return RotateSession("s1", used, "d2", at)


def test_a_session_opens_with_its_first_token() -> None:
    opened = decide_open(ANN, OpenSession("s1", 7, "$h", "d1", END))

    assert opened == SessionBegun(7, "d1", END, 2)
    assert evolve(NONE, opened) == OPEN


@pytest.mark.parametrize(
    "user", [replace(ANN, password_hash="$other"), User(user_id=7, is_erased=True)], ids=["changed", "erased"]
)
def test_no_session_opens_for_a_password_that_was_changed_since_it_was_compared(user: User) -> None:
    with pytest.raises(PasswordOutdated):
        decide_open(user, OpenSession("s1", 7, "$h", "d1", END))


@pytest.mark.parametrize(
    "user",
    [replace(ANN, epoch=3), replace(ANN, epoch=3, kept_session="s2"), replace(ANN, is_erased=True)],
)
def test_no_token_is_good_once_every_session_was_ended(user: User) -> None:
    with pytest.raises(NoSuchSession):
        decide_rotate(OPEN, user, rotate("d1"))


def test_the_session_that_was_kept_goes_on() -> None:
    assert decide_rotate(OPEN, replace(ANN, epoch=3, kept_session="s1"), rotate("d1")) == SessionRotated("d2")


def test_a_token_is_exchanged_for_the_next() -> None:
    assert decide_rotate(OPEN, ANN, rotate("d1")) == SessionRotated("d2")
    assert evolve(OPEN, SessionRotated("d2")) == replace(OPEN, refresh_digest="d2")


@pytest.mark.parametrize("used", ["d0", "", "d2"])
def test_a_token_used_before_ends_the_session(used: str) -> None:
    ended = decide_rotate(OPEN, ANN, rotate(used))

    assert ended == SessionEnded("refresh-token-reused")
    assert evolve(OPEN, ended) == ENDED


@pytest.mark.parametrize("session", [NONE, ENDED])
def test_no_token_is_good_for_a_session_that_is_not_open(session: Session) -> None:
    with pytest.raises(NoSuchSession):
        decide_rotate(session, ANN, rotate(session.refresh_digest))


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=1)])
def test_no_token_is_good_once_the_session_has_expired(late: timedelta) -> None:
    with pytest.raises(NoSuchSession):
        decide_rotate(OPEN, ANN, rotate("d1", END + late))


def test_a_token_is_good_up_to_the_last_moment() -> None:
    assert decide_rotate(OPEN, ANN, rotate("d1", END - timedelta(microseconds=1))) == SessionRotated("d2")


def test_a_session_ends_once() -> None:
    assert EndSession("s1").session_id == "s1"
    assert decide_end(OPEN) == (SessionEnded("logged-out"),)
    assert decide_end(ENDED) == ()
    assert decide_end(NONE) == ()
