"""The pure parts of a load: what is sent, in which order, when again, and what is wrong at the end."""

from dataclasses import replace
from io import StringIO

import msgspec
import pytest
from rich.console import Console

from adapters.api_call import Answer, ApiCall, ApiError, answer_of, api_error, decode, headers_of, pause_s
from adapters.api_client import ApiClient, ApiSettings, BadApiAddress, Login
from adapters.retail_calls import (
    PROBE,
    cart_call,
    goods_call,
    order_call,
    order_key,
    password_of,
    payment_call,
    probe_key,
    stock_call,
)
from adapters.retail_load import LoadError, LoadSettings, load
from adapters.retail_plan import PlanDraft, RetailGoods, RetailPlan, Shopper, SoldLine, schedule
from adapters.retail_progress import LineProgress, LiveProgress, SilentProgress, shown_on
from adapters.retail_result import LoadResult, Tally, percentile, problems, result_of
from adapters.retail_summary import money, summary

NOWHERE = "http://127.0.0.1:1"
"""Port 1 is reserved (tcpmux); nobody listens there."""


def sold(invoice: str, customer: str, *, code: str = "A1", quantity: int = 2, price: int = 150) -> SoldLine:
    return SoldLine(invoice, code, "MUG", quantity, price, customer, "France")


def plan_of(*lines: SoldLine) -> RetailPlan:
    draft = PlanDraft()
    for line in lines:
        draft.add(line)
    return draft.plan()


PLAN = plan_of(sold("1", "7"), sold("2", "8", code="B2"), sold("3", "8"), sold("4", "9"), sold("5", ""))
ANN = Shopper("customer-7@retail.example", "Customer 7", "France")


def body_of(call: ApiCall) -> object:
    assert call.body is not None
    return msgspec.json.decode(call.body)


# who comes first


def test_who_has_most_orders_goes_first_and_each_keeps_the_order_of_the_file() -> None:
    rows = [(shopper, [order.invoice for order in orders]) for shopper, orders in schedule(PLAN)]
    assert rows == [(1, ["2", "3"]), (0, ["1"]), (2, ["4"]), (3, ["5"])]


# what is sent


def test_requests_are_as_the_contract_says() -> None:
    ids = [11, 12]
    goods, stock = goods_call(PLAN, 1), stock_call(PLAN, ids, 0)
    assert (goods.method, goods.path, body_of(goods)) == (
        "POST",
        "/v1/goods",
        {"name": "B2 MUG", "price": 150},
    )
    assert (stock.method, stock.path, body_of(stock)) == (
        "PUT",
        "/v1/inventory",
        {"items": [{"goods_id": 11, "stock": 8}, {"goods_id": 12, "stock": 2}]},
    )
    cart = cart_call(ids, PLAN.orders[1].lines)
    assert (cart.method, cart.path, cart.key) == ("PUT", "/v1/cart", None)
    assert body_of(cart) == {"items": [{"goods_id": 12, "nums": 2, "checked": True}]}
    paid = payment_call("99", amount_pence=300, trade_id="t-1")
    assert (paid.method, paid.path) == ("POST", "/v1/orders/99/payment")
    assert body_of(paid) == {"pay_type": "card", "trade_id": "t-1", "amount": 300}


def test_stock_is_set_a_thousand_goods_at_a_time_each_chunk_with_its_own_key() -> None:
    many = replace(PLAN, goods=tuple(RetailGoods("A1", n, "A1", n) for n in range(1, 2_502)))
    calls = [stock_call(many, range(1, 2_502), start) for start in (0, 1_000, 2_000)]
    sizes = [len(msgspec.json.decode(call.body or b"")["items"]) for call in calls]
    assert sizes == [1_000, 1_000, 501]
    assert len({call.key for call in calls}) == 3


def test_an_order_goes_to_a_made_up_person() -> None:
    call = order_call(ANN, invoice="545220", key="k")
    body = msgspec.json.decode(call.body or b"")
    assert (call.method, call.path, call.key) == ("POST", "/v1/orders", "k")
    assert sorted(body) == ["address", "post", "signer_mobile", "signer_name"]
    assert body["signer_name"] == "Customer 7"
    assert body["signer_mobile"].startswith("+44 7700 900")
    assert body["address"].endswith(" Gift Street, France")
    assert body["post"] == "invoice 545220"


def test_a_second_run_sends_the_same_bytes_and_keys() -> None:
    def calls() -> list[ApiCall]:
        plan = plan_of(sold("1", "7"), sold("2", "8", code="B2"))
        orders = [
            order_call(plan.shoppers[o.shopper], invoice=o.invoice, key=order_key(plan, o, 0))
            for o in plan.orders
        ]
        return [goods_call(plan, 0), goods_call(plan, 1), stock_call(plan, [1, 2], 0), *orders]

    assert calls() == calls()


def test_every_key_of_a_load_is_its_own() -> None:
    orders = [order_key(PLAN, order, again) for order in PLAN.orders for again in range(3)]
    goods = [goods_call(PLAN, place).key for place in range(2)]
    keys = [*orders, *goods, stock_call(PLAN, [1, 2], 0).key, probe_key(PLAN)]
    assert len(set(keys)) == len(keys)
    assert all(key is not None and key.startswith(PLAN.plan_id) for key in keys)


@pytest.mark.parametrize("invoice", ["ÄÖ", "1 2", "x" * 300, "a\r\nX-Evil: 1"])
def test_a_strange_invoice_number_still_makes_a_key_that_fits_a_header(invoice: str) -> None:
    plan = plan_of(sold(invoice, "7"))
    key = order_key(plan, plan.orders[0], 2)
    assert key.isascii()
    assert key.isprintable()
    assert " " not in key
    assert len(key) <= 90


def test_passwords_come_again_and_differ_by_person_and_by_staff_password() -> None:
    assert password_of(ANN, "secret") == password_of(ANN, "secret")
    others = {password_of(ANN, "secret"), password_of(PROBE, "secret"), password_of(ANN, "Secret")}
    assert len(others) == 3
    assert all(len(password) == 64 for password in others)


def test_secrets_are_not_shown() -> None:
    shown = repr(LoadSettings(NOWHERE, "staff@x", "hush-1")) + repr(
        Login("a@x", "hush-2", "hush-3", "hush-4")
    )
    assert "hush" not in shown


def test_headers_are_those_that_are_needed() -> None:
    assert headers_of(ApiCall("GET", "/x"), "") == {}
    assert headers_of(ApiCall("PUT", "/x", b"{}", "k"), "t") == {
        "Content-Type": "application/json",
        "Authorization": "Bearer t",
        "Idempotency-Key": "k",
    }


# what comes back


def test_pauses_grow_to_a_limit_and_are_never_shorter_than_the_server_asks() -> None:
    assert [pause_s(attempt, 0.0) for attempt in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert pause_s(10**6, 0.0) == 2.0
    assert pause_s(0, 7.0) == 7.0


@pytest.mark.parametrize(
    ("header", "asked"), [({}, 0.0), ({"Retry-After": "3"}, 3.0), ({"Retry-After": "x"}, 0.0)]
)
def test_retry_after_is_read_in_seconds(header: dict[str, str], asked: float) -> None:
    assert answer_of(503, b"", header, seconds=0.1).retry_after_s == asked


def test_a_replayed_answer_is_known_by_its_header() -> None:
    assert answer_of(201, b"", {"Idempotency-Replayed": "true"}, seconds=0.1).replayed
    assert not answer_of(201, b"", {}, seconds=0.1).replayed


def refused(status: int, body: bytes) -> ApiError:
    return api_error(ApiCall("POST", "/v1/orders"), Answer(status, body, False, 0.0, 0.1))


def test_a_problem_is_told_in_one_line_with_its_call() -> None:
    body = b'{"type":"urn:tillroll:stock-short","title":"Short","detail":"goods 1:\\nnone","short":[]}'
    error = refused(409, body)
    assert str(error) == "POST /v1/orders answered 409: urn:tillroll:stock-short, Short, goods 1: none"
    assert (error.status, error.type, error.title, error.body) == (
        409,
        "urn:tillroll:stock-short",
        "Short",
        body,
    )


def test_an_error_that_is_no_problem_document_is_told_too() -> None:
    assert str(refused(502, b"<html>\xff")) == "POST /v1/orders answered 502: <html>\ufffd"
    assert str(refused(500, b"[1]")) == "POST /v1/orders answered 500: [1]"


def test_an_answer_of_another_shape_is_an_error_of_its_call() -> None:
    answer = Answer(200, b'{"nums":"x"}', False, 0.0, 0.1)
    with pytest.raises(ApiError, match="GET /x answered 200: a body that is not as expected: Expected"):
        decode(ApiCall("GET", "/x"), answer, dict[str, int])


@pytest.mark.parametrize(
    "address", ["", "localhost:8000", "ftp://x", "http://", "http://x:99999", "nonsense"]
)
async def test_what_is_no_address_of_a_server_is_said_before_anything_is_sent(address: str) -> None:
    with pytest.raises(BadApiAddress, match="is no address of a server, expected one like http://127"):
        ApiClient(ApiSettings(address))


async def test_a_server_that_is_not_there_ends_the_load_with_one_line() -> None:
    settings = LoadSettings(NOWHERE, "staff@x", "pw", patience_s=0.1)
    with pytest.raises(LoadError) as stopped:
        await load(PLAN, settings, SilentProgress())
    assert str(stopped.value).startswith(
        f"sign-in as staff: {NOWHERE}: GET /healthz got no answer within 0 s: Connect call failed"
    )


# the end

TALLY = Tally(
    orders=5,
    revenue_pence=PLAN.revenue_pence,
    replayed=0,
    place_s=[0.004, 0.002, 0.003],
    order_seconds=0.5,
    seconds=2.0,
    leftovers=[],
    refused_as_short=True,
)


def test_a_load_that_ends_as_the_file_says_has_no_problems() -> None:
    result = result_of(PLAN, TALLY)
    assert problems(result) == ()
    assert (result.orders_per_s, result.place_p50_ms, result.place_p99_ms) == (10.0, 3.0, 4.0)
    assert (result.lines, result.units, result.users, result.goods) == (5, 10, 4, 2)


def test_everything_that_does_not_add_up_is_a_problem() -> None:
    leftovers = [("A1 MUG", 2), ("B2 BAG", 1_000)]
    tally = replace(TALLY, orders=4, revenue_pence=1_200, leftovers=leftovers, refused_as_short=False)
    assert problems(result_of(PLAN, tally)) == (
        "4 orders were paid, the file has 5",
        "the orders cost 1,200 pence, the file says 1,500",
        "1,002 units are left in stock, expected none",
        "one more order was not refused as short, though everything is sold",
        "A1 MUG: 2 left",
        "B2 BAG: 1,000 left",
    )


def test_only_some_failures_are_listed_but_all_are_counted() -> None:
    result = result_of(PLAN, replace(TALLY, leftovers=[(f"G{n}", 1) for n in range(500)]))
    assert (len(result.failures), result.stock_left) == (20, 500)


def test_percentiles_are_values_that_were_measured() -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert (percentile(hundred, 50), percentile(hundred, 99), percentile([], 50)) == (50.0, 99.0, 0.0)
    assert (percentile([7.0], 50), percentile([7.0], 99)) == (7.0, 7.0)


# what is shown


def printed(result: LoadResult) -> str:
    out = StringIO()
    Console(file=out, width=160).print(summary(result, currency="CNY", audit_verdict="clean"))
    return out.getvalue()


def test_the_summary_says_what_a_newcomer_wants_to_know() -> None:
    text = printed(result_of(PLAN, TALLY))
    for words in (
        "5 of 5 in the file",
        "CNY 15.00, equal to the file to the penny",
        "10 orders/s",
        "3.0 ms (p50)",
        "4.0 ms (p99)",
        "none, every unit was sold",
        "refused: sold out",
        "clean",
    ):
        assert words in text


@pytest.mark.parametrize(("pence", "words"), [(1_400, "CNY 1.00 less than"), (1_501, "CNY 0.01 more than")])
def test_the_summary_says_how_far_the_revenue_is_off(pence: int, words: str) -> None:
    assert words in printed(result_of(PLAN, replace(TALLY, revenue_pence=pence)))


@pytest.mark.parametrize(
    ("pence", "shown"),
    [(797_808_721, "CNY 7,978,087.21"), (0, "CNY 0.00"), (-5, "CNY -0.05"), (100, "CNY 1.00")],
)
def test_money_is_shown_with_separators(pence: int, shown: str) -> None:
    assert money(pence, "CNY") == shown


def test_a_terminal_gets_a_bar_and_a_pipe_gets_lines() -> None:
    assert isinstance(shown_on(Console(file=StringIO(), force_terminal=True)), LiveProgress)
    assert isinstance(shown_on(Console(file=StringIO())), LineProgress)


def test_lines_are_few_and_the_last_one_says_all_is_done() -> None:
    out = StringIO()
    with LineProgress(Console(file=out)) as progress:
        progress.stage("orders", 1_000)
        for _ in range(1_000):
            progress.advance()
    (line,) = out.getvalue().splitlines()
    assert line.startswith("orders: 1,000 of 1,000, ")


def test_the_bar_shows_how_many_are_done() -> None:
    out = StringIO()
    with LiveProgress(Console(file=out, force_terminal=True, width=100)) as progress:
        progress.stage("orders", 3)
        for _ in range(3):
            progress.advance()
    assert "3/3" in out.getvalue()
