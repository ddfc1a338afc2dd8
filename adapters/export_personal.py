"""What of an event may leave: personal data only when it is asked for, what proves who one is never."""

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Final

import psycopg
from psycopg_pool import PoolTimeout

from adapters.error_text import first_line
from adapters.export_rows import Plain
from adapters.personal_data import PersonalData
from adapters.postgres_personal_keys import PostgresPersonalKeys
from adapters.postgres_queries import read_pool
from adapters.sealing import PersonKey, Wrapping, is_sealed
from domain import streams
from domain.recorded import Recorded

NEVER: Final = frozenset({"password_hash", "refresh_digest", "fingerprint"})
"""Fields that stay here whatever is asked for: hashes of passwords, of refresh tokens, and of requests."""

OF_USERS: Final = frozenset({"email", "nickname", "gender"})
OF_ORDERS: Final = frozenset({"address", "signer_name", "signer_mobile", "post"})
PERSONAL: Final = OF_USERS | OF_ORDERS

CONNECTIONS: Final = 2
OPEN_WITHIN_S: Final = 10.0


def without_personal(events: Sequence[tuple[Recorded, Plain]]) -> list[Plain]:
    """Each event's fields, with neither those fields nor anything sealed in them."""
    return [_less(data, NEVER | PERSONAL) for _, data in events]


def _less(data: Plain, left_out: frozenset[str]) -> Plain:
    return {name: _inside(value, left_out) for name, value in data.items() if name not in left_out}


def _inside(value: Any, left_out: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return _less(value, left_out)
    if isinstance(value, list):
        return [_inside(one, left_out) for one in value]
    # A field that nobody has thought of here is told by its seal.
    return None if isinstance(value, str) and is_sealed(value) else value


class KeysUnreadable(Exception):
    """The keys of persons cannot be read; the text says why, in one line."""


class Unsealing:
    """Opens personal data with the keys of those who are there; of an erased user it stays null.

    Keys are looked up for many events at once, and some thousands of them kept.
    """

    def __init__(self, dsn: str, wrapping: Wrapping) -> None:
        """`dsn`: of the user log, beside which the keys are."""
        self._runner = asyncio.Runner()
        self._pool = read_pool(dsn, max_size=CONNECTIONS)
        self._personal = PersonalData(PostgresPersonalKeys(self._pool), wrapping)

    def __enter__(self) -> "Unsealing":
        try:
            self._runner.run(self._pool.open(wait=True, timeout=OPEN_WITHIN_S))
        except (psycopg.Error, PoolTimeout) as error:
            self.__exit__(None, None, None)
            raise KeysUnreadable(_line("the keys of persons cannot be read", error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._pool.close())
        self._runner.close()

    def opened(self, events: Sequence[tuple[Recorded, Plain]]) -> list[Plain]:
        """Each event's fields, personal data in the clear. Raises KeysUnreadable, CannotUnseal."""
        whose = [_user_of(recorded, data) for recorded, data in events]
        keys = self._keys(user_id for user_id in whose if user_id is not None)
        return [
            _opened(recorded, data, keys.get(user_id or 0))
            for (recorded, data), user_id in zip(events, whose, strict=True)
        ]

    def _keys(self, user_ids: Iterable[int]) -> dict[int, PersonKey]:
        wanted = set(user_ids)
        if not wanted:
            return {}
        try:
            return self._runner.run(self._personal.keys_of(wanted))
        except psycopg.Error as error:
            raise KeysUnreadable(_line("the keys of persons cannot be read", error)) from error


def _user_of(recorded: Recorded, data: Plain) -> int | None:
    """Whose personal data may be in it; None when there is none."""
    category = streams.category(recorded.originator_id)
    if category == "user":
        return int(streams.key_of(recorded.originator_id))
    placed = data.get("placed", data)
    return int(placed["user_id"]) if "contact" in placed else None


def _opened(recorded: Recorded, data: Plain, key: PersonKey | None) -> Plain:
    stream = recorded.originator_id
    if streams.category(stream) == "user":
        return _unsealed(_less_proof(data), key, stream, OF_USERS)
    placed = data.get("placed", data)
    if "contact" not in placed:
        return _less(data, NEVER)
    order_id = placed["order_id"]
    own = None if key is None else key.for_order(order_id)
    contact = _unsealed(placed["contact"], own, streams.order(order_id), OF_ORDERS)
    known = {**placed, "contact": contact}
    return {**data, "placed": known} if "placed" in data else known


def _less_proof(data: Plain) -> Plain:
    return {name: value for name, value in data.items() if name not in NEVER}


def _unsealed(data: Plain, key: PersonKey | None, about: str, fields: frozenset[str]) -> Plain:
    return {
        name: _text(value, key, f"{about}.{name}") if name in fields else value
        for name, value in data.items()
    }


def _text(value: str | None, key: PersonKey | None, about: str) -> str | None:
    return None if value is None or key is None else key.unseal(about, value)


def _line(what: str, error: Exception) -> str:
    return f"{what}: {first_line(error) or type(error).__name__}"
