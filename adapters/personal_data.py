"""Personal data at the edge: sealed before a command is made of it, unsealed for whoever may see it.

Between the two nobody can read it: not in commands, states, events, messages, read models or backups. A
person's key is kept beside the user log (`KeyStore`), wrapped; when it is gone, so is the person.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from adapters.gathered import Gathered
from adapters.sealing import PersonKey, Wrapping, is_sealed, new_key
from domain import streams
from domain.order import Contact
from domain.refusals import Busy
from domain.user import Role, User

WRAP_TRIES: Final = 3
"""Each with the key file as it is then."""

MAX_KEYS: Final = 50_000
"""Persons' keys in memory; those not used for longest go first."""

CONTACT_FIELDS: Final = ("address", "signer_name", "signer_mobile", "post")

Item = dict[str, Any]


class WrappedTooLate(Busy):
    """The key that wraps was replaced at this moment; try again."""

    name = "unavailable"


class KeyStore(Protocol):
    """Where wrapped keys are kept. Whatever fails raises psycopg.Error; what is stored, WrappedTooLate."""

    async def make(self, user_id: int, wrapped: str) -> None: ...

    async def wrapped(self, user_ids: Collection[int], *, erased: bool = False) -> Mapping[int, str]:
        """Keys of these users; of erased ones, whose key is about to be destroyed, only when asked for."""
        ...

    async def kept(self, order_ids: Collection[str]) -> Mapping[str, str]: ...

    async def destroy(self, user_id: int, keep: Mapping[str, str]) -> None:
        """Deletes a user's key and keeps those of these orders, in one commit. Nothing if it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Profile:
    """A user as they may be shown to themselves and to staff: unsealed, and no password hash."""

    user_id: int
    email: str
    nickname: str
    gender: str | None
    role: Role


class PersonalData:
    def __init__(self, store: KeyStore, wrapping: Wrapping) -> None:
        self._store = store
        self._wrapping = wrapping
        self._keys: OrderedDict[int, PersonKey] = OrderedDict()
        # Erased since this process began to listen; those before, the store does not give out.
        self._erased: OrderedDict[int, None] = OrderedDict()
        self.hears_all: Callable[[], bool] = lambda: True
        self._fetched = Gathered(self.fresh_keys_of)

    # keys

    async def make_key(self, user_id: int) -> PersonKey:
        """The key of somebody new, kept before anything is sealed with it."""
        key = PersonKey(new_key())
        about = streams.user(user_id)
        await self._stored(lambda: self._store.make(user_id, self._wrapping.wrap(about, key.key)))
        self._remember(user_id, key)
        return key

    async def unmake_key(self, user_id: int) -> None:
        """Of somebody who was not registered after all, or erased: deletes it and looks at nothing."""
        self._keys.pop(user_id, None)
        await self._store.destroy(user_id, {})

    async def key_of(self, user_id: int) -> PersonKey | None:
        """None when the user is erased, or never was."""
        key = self._keys.get(user_id) if self.hears_all() else None
        if key is None:
            key = await self._fetched.of(user_id)
        return None if user_id in self._erased else key

    async def keys_of(self, user_ids: Collection[int]) -> dict[int, PersonKey]:
        """Those in memory count only while erasures in other processes are heard of here."""
        kept = self._keys if self.hears_all() else {}
        known = {user_id: kept[user_id] for user_id in user_ids if user_id in kept}
        unknown = [user_id for user_id in user_ids if user_id not in known]
        found = known | await self.fresh_keys_of(unknown) if unknown else known
        return {user_id: key for user_id, key in found.items() if user_id not in self._erased}

    async def fresh_keys_of(self, user_ids: Collection[int]) -> dict[int, PersonKey]:
        """As stored, so that a known user takes as long as one that nobody knows."""
        found = await self._store.wrapped(user_ids)
        keys = {user_id: self._unwrapped(streams.user(user_id), text) for user_id, text in found.items()}
        for user_id, key in keys.items():
            self._remember(user_id, key)
        return {user_id: key for user_id, key in keys.items() if user_id not in self._erased}

    async def destroy(self, user_id: int, deliverable: Iterable[str]) -> None:
        """Destroys the key; what delivery needs of these orders can be read until `let_go`."""
        found = await self._store.wrapped([user_id], erased=True)
        if user_id in found:
            key = self._unwrapped(streams.user(user_id), found[user_id])
            orders = list(deliverable)
            await self._stored(lambda: self._store.destroy(user_id, self._order_keys(key, orders)))
        self.forget(user_id)

    def forget(self, user_id: int) -> None:
        """The user is erased: whatever is kept of the key elsewhere is of no use here any more."""
        self._keys.pop(user_id, None)
        self._erased[user_id] = None
        if len(self._erased) > MAX_KEYS:
            self._erased.popitem(last=False)

    async def _stored(self, store: Callable[[], Awaitable[None]]) -> None:
        """Wrapped again by `store` each time, with the key file as it is then. Raises WrappedTooLate."""
        for left in reversed(range(WRAP_TRIES)):
            try:
                await store()
                return
            except WrappedTooLate:
                if not left:
                    raise

    def _order_keys(self, key: PersonKey, order_ids: Iterable[str]) -> dict[str, str]:
        """Each wrapped on its own."""
        return {
            order_id: self._wrapping.wrap(streams.order(order_id), key.for_order(order_id).key)
            for order_id in order_ids
        }

    def _remember(self, user_id: int, key: PersonKey) -> None:
        if user_id not in self._erased:
            self._keys[user_id] = key
            self._keys.move_to_end(user_id)
            if len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)

    def _unwrapped(self, about: str, wrapped: str) -> PersonKey:
        return PersonKey(self._wrapping.unwrap(about, wrapped))

    # orders

    async def unsealed_orders(self, orders: Sequence[Item]) -> list[Item]:
        """Orders as they are answered, delivery data unsealed; None in its place when it is gone."""
        keys = await self.keys_of({order["user_id"] for order in orders})
        orphans = [order["order_id"] for order in orders if order["user_id"] not in keys]
        kept = await self._store.kept(orphans) if orphans else {}
        return [_unsealed_order(order, self._order_key(order, keys, kept)) for order in orders]

    async def unsealed_order(self, order: Item) -> Item:
        return (await self.unsealed_orders([order]))[0]

    def _order_key(
        self, order: Item, keys: Mapping[int, PersonKey], kept: Mapping[str, str]
    ) -> PersonKey | None:
        order_id, owner = order["order_id"], keys.get(order["user_id"])
        if owner is not None:
            return owner.for_order(order_id)
        if order_id in kept:
            return self._unwrapped(streams.order(order_id), kept[order_id])
        return None


def sealed_contact(key: PersonKey, order_id: str, contact: Contact) -> Contact:
    own, name = key.for_order(order_id), streams.order(order_id)
    return Contact(
        address=own.seal(f"{name}.address", contact.address),
        signer_name=own.seal(f"{name}.signer_name", contact.signer_name),
        signer_mobile=own.seal(f"{name}.signer_mobile", contact.signer_mobile),
        post=own.seal(f"{name}.post", contact.post),
    )


def _unsealed_order(order: Item, key: PersonKey | None) -> Item:
    name = streams.order(order["order_id"])
    return order | {field: _shown(key, f"{name}.{field}", order[field]) for field in CONTACT_FIELDS}


def _shown(key: PersonKey | None, about: str, text: str) -> str | None:
    if key is None:
        return None if is_sealed(text) else text
    return key.unseal(about, text)


# users


def seal_of(key: PersonKey, user_id: int, field: str, text: str) -> str:
    """One field of a user: email, nickname, gender or password_hash."""
    return key.seal(f"{streams.user(user_id)}.{field}", text)


def unseal_of(key: PersonKey, user_id: int, field: str, text: str) -> str:
    """Raises CannotUnseal."""
    return key.unseal(f"{streams.user(user_id)}.{field}", text)


def profile_of(user: User, key: PersonKey) -> Profile:
    gender = None if user.gender is None else unseal_of(key, user.user_id, "gender", user.gender)
    return Profile(
        user_id=user.user_id,
        email=unseal_of(key, user.user_id, "email", user.email),
        nickname=unseal_of(key, user.user_id, "nickname", user.nickname),
        gender=gender,
        role=user.role,
    )
