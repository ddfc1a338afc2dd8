"""Look-ups of many in one query, each answer as fresh as its question."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from adapters.gathered import Gathered


class Table:
    """What is looked up, slowly. `asked`: the keys of each query."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {1: "one", 2: "two"}
        self.asked: list[list[int]] = []
        self.is_away = False
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def look(self, keys: Collection[int]) -> Mapping[int, str]:
        self.asked.append(sorted(keys))
        found = {key: self.rows[key] for key in keys if key in self.rows}
        await self.go_on.wait()
        if self.is_away:
            raise OSError("away")
        return found


async def test_who_asks_at_once_shares_a_query() -> None:
    table = Table()
    gathered = Gathered(table.look)

    assert await asyncio.gather(*(gathered.of(key) for key in (1, 2, 3, 1))) == ["one", "two", None, "one"]
    assert table.asked == [[1, 2, 3]]


async def test_who_asks_while_a_query_is_under_way_is_told_what_is_there_since() -> None:
    table = Table()
    gathered = Gathered(table.look)
    table.go_on.clear()
    early = asyncio.create_task(gathered.of(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    table.rows[1] = "changed"
    late = asyncio.create_task(gathered.of(1))
    await asyncio.sleep(0)
    table.go_on.set()

    assert (await early, await late) == ("one", "changed")
    assert table.asked == [[1], [1]]


async def test_an_error_is_everybodys_and_the_next_question_is_asked_anew() -> None:
    table = Table()
    gathered = Gathered(table.look)
    table.is_away = True
    errors = await asyncio.gather(gathered.of(1), gathered.of(2), return_exceptions=True)
    table.is_away = False

    assert [str(error) for error in errors] == ["away", "away"]
    assert await gathered.of(1) == "one"


async def test_one_who_goes_away_takes_nobody_along() -> None:
    table = Table()
    gathered = Gathered(table.look)
    table.go_on.clear()
    gone, stays = asyncio.create_task(gathered.of(1)), asyncio.create_task(gathered.of(1))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    table.go_on.set()

    assert await stays == "one"
    with pytest.raises(asyncio.CancelledError):
        await gone
