"""Read model `"user"`: each event gives its row."""

from datetime import timedelta

from domain.services import USER
from domain.user import (
    ChangePassword,
    ChangeProfile,
    EraseUser,
    GrantRole,
    LogOutEverywhere,
    RegisterUser,
    Role,
)
from projections.projection import fold_log
from projections.user import USER as QUESTION
from projections.user import UserRow
from tests.shop_history import START, ShopHistory

REGISTER = RegisterUser(7, "sealed-email", "digest", "sealed-name", "f", Role.CUSTOMER, "$argon2id$...")
REGISTERED = UserRow(7, START, START, None, "sealed-email", "sealed-name", "f", 1)


def row_after(*commands: object) -> UserRow:
    shop = ShopHistory()
    for command in (REGISTER, *commands):
        shop.tell(USER, command)
    ((row,),) = fold_log(QUESTION, shop.logs["user"])["user"].values()
    assert isinstance(row, UserRow)
    return row


def test_registering_makes_a_row_with_personal_data_as_it_is_in_the_log() -> None:
    assert row_after() == REGISTERED


def test_a_changed_profile_is_shown() -> None:
    row = row_after(ChangeProfile(7, nickname="other", gender="x"))
    assert (row.nickname, row.gender, row.updated_at) == ("other", "x", START + timedelta(seconds=1))


def test_a_changed_password_is_not_shown_but_its_time_is() -> None:
    later = START + timedelta(seconds=1)
    changed = row_after(ChangePassword(ChangeProfile(7), REGISTER.password_hash, "other", "s1", later))
    assert changed == REGISTERED._replace(updated_at=later)


def test_of_an_erased_user_nothing_personal_is_left() -> None:
    later = START + timedelta(seconds=1)
    assert row_after(EraseUser(7, "digest")) == UserRow(7, START, later, later, "", "", None, 1)


def test_a_granted_role_is_shown() -> None:
    assert row_after(GrantRole(7, Role.STAFF)).role == 2


def test_logging_out_everywhere_changes_nothing() -> None:
    assert row_after(LogOutEverywhere(7, START)) == REGISTERED
