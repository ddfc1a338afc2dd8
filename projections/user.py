"""Who is registered? Read model `"user"`.

Email, nickname and gender stay as they are in the log, sealed; of an erased user nothing is left of them.
"""

from datetime import datetime
from typing import NamedTuple, assert_never

from domain.recorded import Recorded
from domain.user import PasswordChanged, ProfileChanged, RoleGranted, UserErased, UserRegistered
from projections.projection import Projection, Table


class UserRow(NamedTuple):
    id: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    email: str
    nickname: str
    gender: str | None
    role: int


def evolve(rows: tuple[UserRow, ...], recorded: Recorded) -> tuple[UserRow, ...]:
    event: UserRegistered | ProfileChanged | PasswordChanged | RoleGranted | UserErased = recorded.event
    at = recorded.cause.at
    if isinstance(event, UserRegistered):
        return (_registered(event, at),)
    (row,) = rows
    match event:
        case ProfileChanged(nickname, gender):
            return (row._replace(nickname=nickname, gender=gender, updated_at=at),)
        case PasswordChanged():
            return (row._replace(updated_at=at),)
        case RoleGranted(role):
            return (row._replace(role=int(role), updated_at=at),)
        case UserErased():
            gone = row._replace(email="", nickname="", gender=None)
            return (gone._replace(updated_at=at, deleted_at=at),)
        case _:
            assert_never(event)


def _registered(event: UserRegistered, at: datetime) -> UserRow:
    return UserRow(
        id=event.user_id,
        created_at=at,
        updated_at=at,
        deleted_at=None,
        email=event.email,
        nickname=event.nickname,
        gender=event.gender,
        role=int(event.role),
    )


TABLE = Table(
    name="user",
    row=UserRow,
    primary_key=("id",),
    events=frozenset({UserRegistered, ProfileChanged, PasswordChanged, RoleGranted, UserErased}),
    evolve=evolve,
)

USER = Projection(name="user", log="user", tables=(TABLE,))
