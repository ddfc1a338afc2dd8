"""Bad requests: each gets one clear problem, and nothing internal is told."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from adapters.http_edge import MAX_BODY_BYTES
from adapters.http_invalid import in_plain_words
from adapters.postgres_queries import ReadsUnavailable
from domain.refusals import Overloaded
from domain.user import Role
from tests.adapters.http_client import CONTACT, Client, open_client

MUG = {"name": "Mug", "price": 1}


# One shop for all of them: nothing here changes it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/goods/", "/v2/goods", "/v1/nothing", "/redoc", "/V1/goods"]
)
async def test_an_unknown_address_is_a_404_problem(client: Client, path: str) -> None:
    answered = await client.call("GET", path)
    assert (answered.status, answered.name) == (404, "not-found")
    assert answered.headers["Content-Type"] == "application/problem+json"


async def test_a_method_an_address_does_not_take_names_those_it_takes(client: Client) -> None:
    answered = await client.call("POST", "/v1/users/me", {})
    assert (answered.status, answered.name) == (405, "method-not-allowed")
    assert answered.headers["Allow"] == "DELETE, GET, PATCH"


async def test_a_fixed_address_beside_an_id_takes_its_own_methods_only(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    for path in ("/v1/inventory/sell", "/v1/inventory/rollback"):
        sent = {"Authorization": f"Bearer {staff}"}
        async with client.http.put(client.base + path, json={"stock": 1}, headers=sent) as answered:
            assert (answered.status, answered.headers["Allow"]) == (405, "POST")


async def test_what_is_no_http_is_a_problem_as_well(client: Client) -> None:
    host, port = client.base.removeprefix("http://").split(":")
    for sent in (
        b"GET /v1/goods?q=" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"content-type: application/problem+json" in head
        assert b"x-content-type-options: nosniff" in head
        assert json.loads(body)["type"] == "urn:tillroll:bad-request"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"\xff\xfe",
        b'{"name": "\\',
        b"[" * 100_000,
        b'{"name": "Mug", "price": ' + b"1" * 5_000 + b"}",
        b'{"name": "Mug", "price": NaN}',
        b'{"name": "Mug", "price": -Infinity}',
        b'{"name": "M\xfcg", "price": 1}',
        b'\xef\xbb\xbf{"name": "Mug", "price": 1}',
        *(json.dumps(MUG).encode(each) for each in ("utf-16", "utf-16-le", "utf-32")),
    ],
)
async def test_a_body_that_is_no_json_is_refused(client: Client, body: bytes) -> None:
    staff = await client.user(Role.STAFF)
    answered = await client.call("POST", "/v1/goods", body, token=staff)
    expected = (422, "invalid") if body == b"" else (400, "bad-json")
    assert (answered.status, answered.name) == expected


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
async def test_a_body_of_another_type_is_refused(client: Client, media_type: str) -> None:
    staff = await client.user(Role.STAFF)
    answered = await client.call("POST", "/v1/goods", MUG, token=staff, Content_Type=media_type)
    assert (answered.status, answered.name) == (415, "not-json")
    charset = "Application/JSON; charset=utf-8"
    assert (await client.call("POST", "/v1/goods", MUG, token=staff, Content_Type=charset)).status == 201


async def test_a_body_over_1_mib_is_refused_announced_or_not(client: Client) -> None:
    staff = await client.user(Role.STAFF)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * (64 * 1024)

    announced = await client.call("POST", "/v1/goods", io.BytesIO(b" " * (MAX_BODY_BYTES + 1)), token=staff)
    chunked = await client.call("POST", "/v1/goods", chunks(), token=staff)
    for answered in (announced, chunked):
        assert (answered.status, answered.name) == (413, "body-too-large")
        assert answered.headers["X-Content-Type-Options"] == "nosniff"
    fits = io.BytesIO(json.dumps(MUG).encode().ljust(MAX_BODY_BYTES))
    assert (await client.call("POST", "/v1/goods", fits, token=staff)).status == 201


GOODS_CASES: list[tuple[Any, str, str]] = [
    ({"price": 1}, "body.name", "is missing"),
    ({**MUG, "colour": "red"}, "body.colour", "is not a known field"),
    ({**MUG, "price": 1.0}, "body.price", "must be a whole number"),
    ({**MUG, "price": "1"}, "body.price", "must be a whole number"),
    ({**MUG, "price": True}, "body.price", "must be a whole number"),
    ({**MUG, "price": None}, "body.price", "must be a whole number"),
    ({**MUG, "price": -1}, "body.price", "must be at least 0"),
    ({**MUG, "price": 2**53}, "body.price", "must be at most 9007199254740991"),
    ({**MUG, "price": 10**400}, "body.price", "must be at most 9007199254740991"),
    ({**MUG, "name": ""}, "body.name", "must have at least 1 character"),
    ({**MUG, "name": "   "}, "body.name", "must hold more than spaces, and no control characters"),
    ({**MUG, "name": "x" * 201}, "body.name", "must have at most 200 characters"),
    ({**MUG, "name": "a\u0000b"}, "body.name", "must hold more than spaces, and no control characters"),
    ({**MUG, "name": "a\nb"}, "body.name", "must hold more than spaces, and no control characters"),
    ({**MUG, "name": "\ud800"}, "body.name", "must be valid Unicode text"),
    ({**MUG, "name": 5}, "body.name", "must be text"),
    ([MUG], "body", "must be an object"),
]


@pytest.mark.parametrize(("body", "where", "what"), GOODS_CASES)
async def test_a_wrong_field_is_named_in_plain_words(
    client: Client, body: Any, where: str, what: str
) -> None:
    answered = await client.call("POST", "/v1/goods", body, token=await client.user(Role.STAFF))
    assert (answered.status, answered.name) == (422, "invalid")
    assert answered.json["errors"] == [{"where": where, "what": what}]


CART_CASES: list[tuple[Any, str, str]] = [
    ({"items": [{"goods_id": 1, "nums": 0}]}, "body.items[0].nums", "must be at least 1"),
    ({"items": [{"goods_id": 1, "nums": 2**31}]}, "body.items[0].nums", "must be at most 2147483647"),
    ({"items": [{"goods_id": 0, "nums": 1}]}, "body.items[0].goods_id", "must be at least 1"),
    ({"items": [{"goods_id": 1, "nums": 1, "checked": 1}]}, "body.items[0].checked", "must be true or false"),
    ({"items": {}}, "body.items", "must be a list"),
    ({"items": [{"goods_id": 1, "nums": 1}] * 2001}, "body.items", "must have at most 2000 items"),
]


@pytest.mark.parametrize(("body", "where", "what"), CART_CASES, ids=[case[1] for case in CART_CASES])
async def test_a_wrong_item_is_found_in_its_list(client: Client, body: Any, where: str, what: str) -> None:
    answered = await client.call("PUT", "/v1/cart", body, token=await client.user())
    assert (answered.status, answered.json["errors"]) == (422, [{"where": where, "what": what}])


async def test_every_wrong_field_is_named_at_once(client: Client) -> None:
    answered = await client.call("POST", "/v1/orders", {"address": ""}, token=await client.user())
    wrong = [error["where"] for error in answered.json["errors"]]
    assert wrong == ["body.address", "body.signer_name", "body.signer_mobile"]


async def test_the_same_goods_twice_in_one_count_are_refused(client: Client) -> None:
    items = [{"goods_id": 7, "stock": 1}, {"goods_id": 7, "stock": 2}]
    staff = await client.user(Role.STAFF)
    answered = await client.call("PUT", "/v1/inventory", {"items": items}, token=staff)
    assert answered.json["errors"] == [{"where": "body.items", "what": "names goods 7 twice"}]


@pytest.mark.parametrize(
    "email", ["", "ann", "ann@", "@x.y", "a b@x.y", "ann@x..y", "ann@-x.y", "a" * 65 + "@x.y"]
)
async def test_what_is_no_email_address_is_refused(client: Client, email: str) -> None:
    body = {"email": email, "password": "long enough", "nickname": "Ann"}
    answered = await client.call("POST", "/v1/users", body)
    assert (answered.status, answered.json["errors"][0]["where"]) == (422, "body.email")


@pytest.mark.parametrize("password", ["short", "\u00e9" * 7, "x" * 257, "long\u0000enough"])
async def test_a_password_is_8_to_256_characters(client: Client, password: str) -> None:
    body = {"email": "ann@x.y", "password": password, "nickname": "Ann"}
    answered = await client.call("POST", "/v1/users", body)
    assert (answered.status, answered.json["errors"][0]["where"]) == (422, "body.password")
    assert password not in answered.raw.decode()


@pytest.mark.parametrize(
    "goods_id", ["x", "0", "-1", "01", "00", "1.0", "+1", "1_0", "%201", "9" * 16, "9" * 5000, "%00"]
)
async def test_an_id_that_is_none_is_refused(client: Client, goods_id: str) -> None:
    answered = await client.call("GET", f"/v1/goods/{goods_id}")
    assert (answered.status, answered.name) == (422, "invalid")
    assert answered.json["errors"][0]["where"] == "path.goods_id"


@pytest.mark.parametrize("order_id", ["x", "0", "01", "-1", str(2**63), "9" * 20])
async def test_an_order_id_that_is_none_is_refused(client: Client, order_id: str) -> None:
    answered = await client.call("GET", f"/v1/orders/{order_id}", token=await client.user())
    assert (answered.status, answered.json["errors"][0]["where"]) == (422, "path.order_id")


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "query.limit"),
        ("limit=201", "query.limit"),
        ("limit=x", "query.limit"),
        ("cursor=nonsense%00", "query.cursor"),
        ("q=a%00b", "query.q"),
        ("limits=5", "query.limits"),
        ("limit=05", "query.limit"),
        ("limit=null", "query.limit"),
        ("cursor=", "query.cursor"),
        ("ids=01", "query.ids"),
        ("ids=1,%2B2", "query.ids"),
        ("ids=9007199254740992", "query.ids"),
    ],
)
async def test_a_wrong_parameter_is_named(client: Client, query: str, where: str) -> None:
    answered = await client.call("GET", f"/v1/goods?{query}")
    assert (answered.status, answered.json["errors"][0]["where"]) == (422, where)


async def test_a_step_that_is_none_names_those_there_are(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    answered = await client.call("GET", "/v1/sagas?step=LOST", token=staff)
    assert "'SELLING'" in answered.json["errors"][0]["what"]
    assert (await client.call("GET", "/v1/sagas?step=SELLING&older_than_s=5", token=staff)).status == 200


async def test_a_full_queue_asks_to_come_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any) -> None:
        raise Overloaded

    customer = await client.user()
    monkeypatch.setattr(client.shop.orders, "submit", refuse)
    answered = await client.call("PUT", "/v1/cart", {"items": []}, token=customer)
    assert (answered.status, answered.name, answered.headers["Retry-After"]) == (503, "overloaded", "1")


async def test_read_models_that_are_away_are_a_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: int) -> None:
        raise ReadsUnavailable("connection to 10.0.0.7 lost")

    monkeypatch.setattr(client.shop.reads, "goods", away)
    answered = await client.call("GET", "/v1/goods/1")
    assert (answered.status, answered.name) == (503, "unavailable")
    assert b"10.0.0.7" not in answered.raw


async def test_a_bug_is_a_500_with_an_id_that_stands_in_the_log(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: int) -> None:
        raise KeyError("secret detail")

    monkeypatch.setattr(client.shop.reads, "goods", broken)
    with caplog.at_level(logging.ERROR):
        answered = await client.call("GET", "/v1/goods/1")
    assert (answered.status, answered.name) == (500, "internal")
    assert b"secret" not in answered.raw
    assert answered.json["id"] in caplog.text
    assert "secret detail" in caplog.text
    assert answered.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_refused_token_leaves_one_line_without_the_token(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        answered = await client.call("GET", "/v1/cart", token="v4.public.AAAA.BBBB")
    assert (answered.status, answered.name) == (401, "unauthorized")
    assert len(caplog.records) == 1
    assert "AAAA" not in caplog.text


async def test_a_caller_who_hangs_up_harms_nobody(client: Client) -> None:
    host, port = client.base.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    token = await client.user()
    head = f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await client.call("GET", "/healthz")).status == 200


async def test_words_that_are_missing_fall_back_to_the_librarys() -> None:
    wrong = in_plain_words({"type": "new_kind", "loc": ("body", "items", 3, "x"), "msg": "Odd"})
    assert (wrong.where, wrong.what) == ("body.items[3].x", "Odd")


async def test_orders_take_no_other_fields(client: Client) -> None:
    answered = await client.call("POST", "/v1/orders", {**CONTACT, "user_id": 1}, token=await client.user())
    assert answered.json["errors"] == [{"where": "body.user_id", "what": "is not a known field"}]
