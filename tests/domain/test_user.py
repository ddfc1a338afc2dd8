"""User: one email address, one user; profile and role change only for users that exist."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce

import pytest

from domain.refusals import EmailTaken, IdTaken, NoSuchUser, OwnRole, PasswordOutdated
from domain.user import (
    UNCLAIMED,
    UNKNOWN,
    ChangePassword,
    ChangeProfile,
    EmailClaim,
    EmailClaimed,
    EmailReleased,
    GrantRole,
    LoggedOutElsewhere,
    LoggedOutEverywhere,
    LogOutEverywhere,
    PasswordChanged,
    ProfileChanged,
    RegisterUser,
    Role,
    RoleGranted,
    User,
    UserErased,
    UserEvent,
    UserRegistered,
    decide_erase,
    decide_log_out,
    decide_password,
    decide_profile,
    decide_register,
    decide_role,
    evolve,
    evolve_claim,
)

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
REGISTER = RegisterUser(7, "ann@example.org", "d1", "ann", None, Role.CUSTOMER, "$argon2id$x")
REGISTERED = UserRegistered(7, "ann@example.org", "ann", None, Role.CUSTOMER, "$argon2id$x")
ANN = User(7, "ann@example.org", "ann", None, Role.CUSTOMER, "$argon2id$x")


def test_a_registration_claims_its_email_in_the_same_commit() -> None:
    assert decide_register(UNKNOWN, UNCLAIMED, REGISTER) == (REGISTERED, EmailClaimed(7))
    assert evolve(UNKNOWN, REGISTERED) == ANN
    assert evolve_claim(UNCLAIMED, EmailClaimed(7)) == EmailClaim(7)


def test_a_claimed_email_is_refused() -> None:
    with pytest.raises(EmailTaken):
        decide_register(UNKNOWN, EmailClaim(3), REGISTER)


def test_a_used_id_is_refused() -> None:
    with pytest.raises(IdTaken):
        decide_register(ANN, UNCLAIMED, REGISTER)


@pytest.mark.parametrize(
    ("command", "events"),
    [
        (ChangeProfile(7), ()),
        (ChangeProfile(7, nickname="ann"), ()),
        (ChangeProfile(7, nickname="annie"), (ProfileChanged("annie", None),)),
        (ChangeProfile(7, gender="female"), (ProfileChanged("ann", "female"),)),
    ],
)
def test_a_profile_change_records_only_what_changes(
    command: ChangeProfile, events: tuple[UserEvent, ...]
) -> None:
    assert decide_profile(ANN, command) == events


def test_a_new_password_ends_every_other_session_in_the_same_commit() -> None:
    ended = LoggedOutElsewhere(AT, "s1")
    alone = ChangePassword(ChangeProfile(7), "$argon2id$x", "$h", "s1", AT)
    assert decide_password(ANN, alone) == (PasswordChanged("$h"), ended)
    more = ChangePassword(ChangeProfile(7, nickname="annie"), "$argon2id$x", "$h", "s1", AT)
    assert decide_password(ANN, more) == (ProfileChanged("annie", None), PasswordChanged("$h"), ended)


def test_the_session_that_changed_the_password_goes_on_until_the_next_log_out_everywhere() -> None:
    changed = evolve(ANN, LoggedOutElsewhere(AT, "s1"))
    assert not changed.is_logged_out("s1", 0)
    assert changed.is_logged_out("s2", 0)
    assert not changed.is_logged_out("s2", 1)
    assert evolve(changed, LoggedOutEverywhere(AT)).is_logged_out("s1", 0)
    assert evolve(changed, LoggedOutElsewhere(AT, "s2")).is_logged_out("s1", 0)


def test_a_password_that_somebody_else_has_changed_meanwhile_is_not_changed_again() -> None:
    first = ChangePassword(ChangeProfile(7), "$argon2id$x", "$thief", "s2", AT)
    changed = reduce(evolve, decide_password(ANN, first), ANN)
    with pytest.raises(PasswordOutdated):
        decide_password(changed, ChangePassword(ChangeProfile(7), "$argon2id$x", "$h", "s1", AT))


def test_nobody_changes_their_own_role() -> None:
    with pytest.raises(OwnRole):
        decide_role(ANN, GrantRole(7, Role.STAFF, by=7))


# erasure

ERASED = User(user_id=7, role=Role.CUSTOMER, is_erased=True)


def test_an_erased_user_is_nobody_and_the_address_is_free_again() -> None:
    assert decide_erase(ANN, EmailClaim(7)) == (UserErased(), EmailReleased())
    assert evolve(ANN, UserErased()) == ERASED
    released = evolve_claim(EmailClaim(7), EmailReleased())
    assert released == EmailClaim(is_released=True)
    assert decide_register(UNKNOWN, released, REGISTER)
    assert ERASED.is_logged_out("any", 0)


def test_erasing_twice_records_nothing() -> None:
    assert decide_erase(ERASED, UNCLAIMED) is None


def test_an_address_that_is_somebody_elses_is_not_released() -> None:
    assert decide_erase(ANN, EmailClaim(8)) == (UserErased(), None)


@pytest.mark.parametrize(
    "change",
    [
        lambda: decide_profile(ERASED, ChangeProfile(7, nickname="x")),
        lambda: decide_password(ERASED, ChangePassword(ChangeProfile(7), "", "$h", "s1", AT)),
        lambda: decide_role(ERASED, GrantRole(7, Role.STAFF)),
        lambda: decide_log_out(ERASED, LogOutEverywhere(7, AT)),
    ],
)
def test_an_erased_user_cannot_be_changed(change: Callable[[], object]) -> None:
    with pytest.raises(NoSuchUser):
        change()


def test_a_role_is_granted_once() -> None:
    assert decide_role(ANN, GrantRole(7, Role.STAFF)) == (RoleGranted(Role.STAFF),)
    assert decide_role(ANN, GrantRole(7, Role.CUSTOMER)) == ()


def test_logging_out_everywhere_is_recorded_with_its_time() -> None:
    assert decide_log_out(ANN, LogOutEverywhere(7, AT)) == (LoggedOutEverywhere(AT),)


def test_nobody_changes_a_user_that_does_not_exist() -> None:
    with pytest.raises(NoSuchUser):
        decide_profile(UNKNOWN, ChangeProfile(7, nickname="ann"))
    with pytest.raises(NoSuchUser):
        decide_role(UNKNOWN, GrantRole(7, Role.STAFF))
    with pytest.raises(NoSuchUser):
        decide_log_out(UNKNOWN, LogOutEverywhere(7, AT))
    with pytest.raises(NoSuchUser):
        decide_erase(UNKNOWN, UNCLAIMED)


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (ProfileChanged("annie", "female"), replace(ANN, nickname="annie", gender="female")),
        (PasswordChanged("$h"), replace(ANN, password_hash="$h")),
        (RoleGranted(Role.STAFF), replace(ANN, role=Role.STAFF)),
        (LoggedOutEverywhere(AT), replace(ANN, epoch=1)),
        (LoggedOutElsewhere(AT, "s1"), replace(ANN, epoch=1, kept_session="s1")),
    ],
)
def test_each_event_changes_only_its_part(event: UserEvent, after: User) -> None:
    assert evolve(ANN, event) == after
