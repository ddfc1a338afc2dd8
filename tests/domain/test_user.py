"""User: one email address, one user; profile and role change only for users that exist."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from domain.refusals import EmailTaken, IdTaken, NoSuchUser
from domain.user import (
    UNCLAIMED,
    UNKNOWN,
    ChangeProfile,
    EmailClaim,
    EmailClaimed,
    GrantRole,
    LoggedOutEverywhere,
    LogOutEverywhere,
    PasswordChanged,
    ProfileChanged,
    RegisterUser,
    Role,
    RoleGranted,
    User,
    UserEvent,
    UserRegistered,
    decide_log_out,
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
        (ChangeProfile(7, password_hash="$h"), (PasswordChanged("$h"),)),
        (
            ChangeProfile(7, nickname="annie", password_hash="$h"),
            (ProfileChanged("annie", None), PasswordChanged("$h")),
        ),
    ],
)
def test_a_profile_change_records_only_what_changes(
    command: ChangeProfile, events: tuple[UserEvent, ...]
) -> None:
    assert decide_profile(ANN, command) == events


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


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (ProfileChanged("annie", "female"), replace(ANN, nickname="annie", gender="female")),
        (PasswordChanged("$h"), replace(ANN, password_hash="$h")),
        (RoleGranted(Role.STAFF), replace(ANN, role=Role.STAFF)),
        (LoggedOutEverywhere(AT), replace(ANN, logged_out_at=AT)),
    ],
)
def test_each_event_changes_only_its_part(event: UserEvent, after: User) -> None:
    assert evolve(ANN, event) == after
