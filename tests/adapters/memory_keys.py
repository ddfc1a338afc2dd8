"""Persons' keys in memory, by the same contract as those in PostgreSQL (test_personal_keys.py)."""

from collections.abc import Callable, Collection, Mapping, Sequence

from adapters.postgres_personal_keys import Erasures


class MemoryKeys:
    """`erased`: ids of erased users in the order of the log, as its events say."""

    def __init__(self, erased: Callable[[], Sequence[int]] = lambda: ()) -> None:
        self._erased_ids = erased
        self.keys: dict[int, str] = {}
        self.kept_keys: dict[str, str] = {}
        self.position = 0

    async def make(self, user_id: int, wrapped: str) -> None:
        self.keys[user_id] = wrapped

    async def wrapped(self, user_ids: Collection[int], *, erased: bool = False) -> Mapping[int, str]:
        gone = () if erased else set(self._erased_ids())
        return {n: self.keys[n] for n in user_ids if n in self.keys and n not in gone}

    async def kept(self, order_ids: Collection[str]) -> Mapping[str, str]:
        return {n: self.kept_keys[n] for n in order_ids if n in self.kept_keys}

    async def destroy(self, user_id: int, keep: Mapping[str, str]) -> None:
        if self.keys.pop(user_id, None) is not None:
            self.kept_keys |= keep

    async def next_erasures(self) -> Erasures:
        found = self._erased_ids()
        return Erasures(found[self.position :], len(found), more=False)

    async def erased_until(self, position: int) -> None:
        self.position = max(position, self.position)

    async def kept_page(self, after: str) -> Sequence[str]:
        return sorted((n for n in self.kept_keys if int(n) > int(after)), key=int)[:2]

    async def let_go(self, order_ids: Collection[str]) -> None:
        for order_id in order_ids:
            self.kept_keys.pop(order_id, None)
