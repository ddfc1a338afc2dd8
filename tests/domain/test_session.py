"""Session: a refresh token is good once; the second use ends the session."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.refusals import NoSuchSession
from domain.session import (
    NONE,
    EndSession,
    OpenSession,
    RotateSession,
    Session,
    SessionEnded,
    SessionOpened,
    SessionRotated,
    decide_end,
    decide_open,
    decide_rotate,
    evolve,
)

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
END = AT + timedelta(days=30)
OPEN = Session(7, "d1", END, is_open=True)
ENDED = Session(7, "", END, is_open=False)


def rotate(used: str, at: datetime = AT) -> RotateSession:
    return RotateSession("s1", used, "d2", at)


def test_a_session_opens_with_its_first_token() -> None:
    opened = decide_open(OpenSession("s1", 7, "d1", END))

    assert opened == SessionOpened(7, "d1", END)
    assert evolve(NONE, opened) == OPEN


def test_a_token_is_exchanged_for_the_next() -> None:
    assert decide_rotate(OPEN, rotate("d1")) == SessionRotated("d2")
    assert evolve(OPEN, SessionRotated("d2")) == replace(OPEN, refresh_digest="d2")


@pytest.mark.parametrize("used", ["d0", "", "d2"])
def test_a_token_used_before_ends_the_session(used: str) -> None:
    ended = decide_rotate(OPEN, rotate(used))

    assert ended == SessionEnded("refresh-token-reused")
    assert evolve(OPEN, ended) == ENDED


@pytest.mark.parametrize("session", [NONE, ENDED])
def test_no_token_is_good_for_a_session_that_is_not_open(session: Session) -> None:
    with pytest.raises(NoSuchSession):
        decide_rotate(session, rotate(session.refresh_digest))


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=1)])
def test_no_token_is_good_once_the_session_has_expired(late: timedelta) -> None:
    with pytest.raises(NoSuchSession):
        decide_rotate(OPEN, rotate("d1", END + late))


def test_a_token_is_good_up_to_the_last_moment() -> None:
    assert decide_rotate(OPEN, rotate("d1", END - timedelta(microseconds=1))) == SessionRotated("d2")


def test_a_session_ends_once() -> None:
    assert EndSession("s1").session_id == "s1"
    assert decide_end(OPEN) == (SessionEnded("logged-out"),)
    assert decide_end(ENDED) == ()
    assert decide_end(NONE) == ()
