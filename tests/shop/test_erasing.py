"""A person is erased from a running shop: searched for as bytes in every file it has, whatever wrote it."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from adapters.embedded_servers import read_running

PERSON = {
    "email": "Planted.Person@mailbox.example",
    "password": "planted-password-7731",
    "nickname": "PlantedNickname",
    "gender": "plantedgender",
}
NEW_PASSWORD = "planted-second-password"
PARCEL = {
    "address": "42 Planted Avenue",
    "signer_name": "Planted Signer",
    "signer_mobile": "+44 planted 900",
    "post": "planted word to the shop",
}
GOODS = "Planted teapot"
"""Not personal: it is in the log to stay, and shows that the search finds what is there."""

STAFF_EMAIL, STAFF_PASSWORD = "boss@shop.example", "open sesame, please"
"""Of the shop that the fixtures start."""

ERASED_WITHIN_S = 20.0


@pytest.fixture(scope="module")
def up(up_factory: Callable[..., Any]) -> Any:
    return up_factory()


def tillroll(up: Any, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TILLROLL_")}
    command = [sys.executable, "-m", "adapters.cli", *arguments, "--data", str(up.data)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def files(*roots: Path) -> Iterator[Path]:
    for root in roots:
        yield from [root] if root.is_file() else (path for path in root.rglob("*") if path.is_file())


def found_in(words: list[str], paths: Iterator[Path]) -> dict[str, list[str]]:
    """Which files hold which of these words, in any case of letters."""
    where: dict[str, list[str]] = {}
    for path in paths:
        held = path.read_bytes().lower()
        for word in words:
            if word.lower().encode() in held:
                where.setdefault(word, []).append(path.name)
    return where


def settle_disk(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("VACUUM")
        conn.execute("CHECKPOINT")


async def live(shop: Any) -> tuple[list[str], list[str]]:
    """One person's life in the shop. Secrets of theirs, and the ids of a paid and an open order."""
    person = shop.anybody
    assert (await person.call("POST", "/v1/users", PERSON))[0] == 201
    login = {"email": PERSON["email"].upper(), "password": PERSON["password"]}
    _, session, _ = await person.call("POST", "/v1/sessions", login)
    person.token = session["access_token"]
    change = {"nickname": "PlantedOther", "password": NEW_PASSWORD, "current_password": PERSON["password"]}
    assert (await person.call("PATCH", "/v1/users/me", change))[0] == 200
    status, goods, _ = await shop.staff.call("POST", "/v1/goods", {"name": GOODS, "price": 250})
    assert status == 201
    await shop.staff.call("PUT", f"/v1/inventory/{goods['goods_id']}", {"stock": 10})
    ids = []
    for key in ("one", "two"):
        await person.fill_cart((goods["goods_id"], 1))
        status, order, _ = await person.call("POST", "/v1/orders", PARCEL, Idempotency_Key=key)
        assert (status, order["address"]) == (201, PARCEL["address"])
        ids.append(order["order_id"])
    await pay(shop, ids[0])
    await stumble(person, session)
    return [session["access_token"], session["refresh_token"]], ids


async def pay(shop: Any, order_id: str) -> None:
    payment = {"pay_type": "card", "trade_id": f"trade-{order_id}", "amount": 250}
    assert (await shop.staff.call("POST", f"/v1/orders/{order_id}/payment", payment))[0] == 200


async def stumble(person: Any, session: Any) -> None:
    """Requests that are refused, each a reason to write something down."""
    for body in (
        {**PERSON, "extra": PARCEL["address"]},
        {**PERSON, "email": "planted.person@@mailbox.example"},
        PERSON,
    ):
        assert (await person.call("POST", "/v1/users", body))[0] in (409, 422)
    wrong = {"email": PERSON["email"], "password": "planted-wrong-password"}
    assert (await person.call("POST", "/v1/sessions", wrong))[0] == 401
    assert (await person.call("POST", "/v1/orders", {**PARCEL, "address": 7}))[0] == 422
    assert (await person.call("GET", f"/v1/orders?q={PARCEL['signer_name'].split()[0]}"))[0] == 422
    good, person.token = person.token, session["access_token"][:-2] + "xx"
    assert (await person.call("GET", "/v1/users/me"))[0] == 401
    person.token = good


async def test_an_erased_person_is_found_nowhere_and_the_books_still_balance(up: Any, shop_at: Any) -> None:
    url = up.start()
    async with aiohttp.ClientSession() as session:
        shop = shop_at(session, url)
        await shop.open()
        secrets, (paid, open_one) = await live(shop)
        export = tillroll(up, "user", "export", PERSON["email"])
        assert all(word in export.stdout for word in [*PARCEL.values(), PERSON["email"].split("@")[0]])
        assert (await shop.anybody.call("DELETE", "/v1/users/me"))[0] == 204

        assert await address_of(shop, paid) is None
        assert await address_of(shop, open_one) == PARCEL["address"]
        await pay(shop, open_one)
        await becomes_unknown(shop, open_one)
        assert tillroll(up, "user", "export", PERSON["email"]).returncode == 1

    audit = tillroll(up, "audit")
    story = tillroll(up, "replay", "order", open_one)
    assert (audit.returncode, story.returncode) == (0, 0), audit.stdout + story.stdout
    assert tillroll(up, "seal").returncode == 0
    verified = tillroll(up, "verify")
    assert verified.returncode == 0, "erasing deletes keys beside the log, and no event"
    settle_disk(read_running(up.data).dsn or "")
    assert up.end() == 0

    said = up.data.parent / "said"
    said.write_text("".join(told.stdout + told.stderr for told in (audit, story, verified)))
    personal = [*PERSON.values(), "PlantedOther", NEW_PASSWORD, "planted-wrong-password", *PARCEL.values()]
    assert GOODS in found_in([GOODS], files(up.data))
    assert found_in([*personal, *secrets], files(up.data, up.data.parent / "up.log", said)) == {}


async def address_of(shop: Any, order_id: str) -> str | None:
    status, order, _ = await shop.staff.call("GET", f"/v1/orders/{order_id}")
    assert (status, order["amount"]) == (200, 250)
    address: str | None = order["address"]
    return address


async def becomes_unknown(shop: Any, order_id: str) -> None:
    ends_at = time.monotonic() + ERASED_WITHIN_S
    while await address_of(shop, order_id) is not None:
        assert time.monotonic() < ends_at, "the key of an order that has ended is still there"
        await asyncio.sleep(0.2)


async def test_staff_who_are_erased_do_not_come_back_with_the_next_start(up: Any, shop_at: Any) -> None:
    """Their address and password still stand in the settings of whoever starts the shop."""
    url = up.start()
    async with aiohttp.ClientSession() as session:
        shop = shop_at(session, url)
        await shop.open()
        assert (up.data / "staff-email").exists()
        assert (await shop.staff.call("DELETE", "/v1/users/me"))[0] == 204
        assert found_in([STAFF_EMAIL], files(up.data)) == {}
    assert up.end() == 0
    url = up.start()
    async with aiohttp.ClientSession() as session:
        again = shop_at(session, url)
        login = {"email": STAFF_EMAIL, "password": STAFF_PASSWORD}
        assert (await again.anybody.call("POST", "/v1/sessions", login))[0] == 401
    assert found_in([STAFF_EMAIL], files(up.data)) == {}
    assert up.end() == 0
