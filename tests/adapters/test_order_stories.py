"""What is meant by an ID, what an order waits for, and what may be done about it."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import conninfo, sql

from adapters import user_email
from adapters.order_story import Ask, read_story
from adapters.pii_key_file import read_pii_keys
from adapters.saga_desk import possible_acts
from adapters.story_drawing import LONG_PAUSE_S, draw
from adapters.story_html import page_of
from adapters.story_outlook import outlook
from adapters.story_words import lasted, money
from domain.order import NONE, Payment, PayOrder
from domain.saga import Saga, Step
from domain.services import ORDER, USER
from domain.user import RegisterUser, Role
from orchestrator.timeline import Entry, timeline
from tests.adapters.night_shop import ask
from tests.adapters.stored_history import store
from tests.databases import drop_database
from tests.shop_history import PAYMENT_WINDOW, START, ShopHistory

EMAIL = "ann@example.org"
KEY = "ab" * 32


def history(email_digest: str) -> ShopHistory:
    """2 waits for payment, 3 was paid too late with the trade of 1, 12 is an order and goods."""
    shop = ShopHistory()
    user = RegisterUser(7, "sealed-address", email_digest, "sealed-name", None, Role.CUSTOMER, "$argon2id$x")
    shop.tell(USER, user, "user-7")
    shop.stocked(12, 10)
    shop.placed("1", [(12, 3)])
    shop.paid("1")
    shop.placed("12", [(12, 1)], user_id=8)
    shop.placed("3", [(12, 2)])
    shop.now = START + PAYMENT_WINDOW + timedelta(minutes=1)
    shop.lapsed("3")
    shop.rolled_back("3")
    shop.tell(ORDER, PayOrder("3", Payment("<b>pay</b>", "T-1", 500, shop.now)), "user-3")
    shop.tell(ORDER, PayOrder("12", Payment("T-1", "T-12", 250, shop.now)), "user-3")
    shop.placed("2", [(12, 1)])
    shop.started("14", [(12, 900)], user_id=9, looked=True)
    return shop


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "pii.key"
    path.write_text(KEY)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def shop_dsn(postgres_dsn: str, key_file: Path) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(sql.Identifier(name)))
        dsn = conninfo.make_conninfo(postgres_dsn, dbname=name)
        store(history(user_email.digest(EMAIL, read_pii_keys(key_file).email)), dsn)
        yield dsn
        drop_database(owner, name)


@pytest.fixture(autouse=True)
def settings(shop_dsn: str, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", shop_dsn)
    monkeypatch.setenv("TILLROLL_PII_KEY_FILE", str(key_file))


@pytest.mark.parametrize(
    ("wanted", "begins"),
    [
        ("2", "Order 2   user 7"),
        ("order-2", "Order 2   user 7"),
        ("goods-12", "Goods 12"),
        ("user-7", "User 7   3 orders"),
        (EMAIL, "User 7   3 orders"),
        (EMAIL.upper(), "User 7   3 orders"),
        ("trade:T-1", "Order 1   user 7"),
        ("T-1", "Order 1   user 7"),
        ("12", "Order 12   user 8"),
        ("14", "Order 14   user 9"),
        ("user-9", "User 9   1 order\n"),
    ],
)
def test_an_id_finds_what_it_names(wanted: str, begins: str) -> None:
    output, exit_code = ask(f"replay order {wanted}")
    assert output.startswith(begins)
    assert exit_code == 0


def test_an_order_refused_before_it_began_says_why_and_that_nothing_is_to_be_undone() -> None:
    story = json.loads(ask("replay order 14 --json")[0])
    assert [entry["what"] for entry in story["entries"]] == [
        "Cart filled with 1 goods, 900 units",
        "Order of 1 goods, 900 units refused before it began, inventory not asked:"
        " goods 12: 900 wanted, 5 on hand",
    ]
    assert "it was refused and sold nothing" in str(story["outlook"])


def test_what_an_id_could_mean_besides_is_said() -> None:
    assert "tillroll: 12 is an order and also goods; goods-12 shows the goods\n" in ask("replay order 12")[0]
    assert "tillroll: trade T-1 stands at 2 orders: 1, 3\n" in ask("replay order T-1")[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("T-1 --json", "trade T-1 stands at 2 orders: 1, 3; --json and --html tell of one: name it"),
        ("T-1 --html /tmp/never.html", "--json and --html tell of one: name it"),
        ("goods-12 --html /tmp/never.html", "`tillroll replay stock 12 --plot FILE.svg` draws them"),
        ("user-7 --html /tmp/never.html", "--html writes the story of an order, not of a user"),
        ("user-7 --at 2026-11-23T14:03:00Z", "--at tells of an order or of goods as of then"),
    ],
)
def test_what_an_option_does_not_go_with_is_told(words: str, told: str) -> None:
    output, exit_code = ask(f"replay order {words}")
    assert exit_code == 2
    assert told in output


@pytest.mark.parametrize("wanted", ["nobody@example.org", "user-99", "T-", "goods-13", "order-13", "13"])
def test_an_unknown_id_is_one_line_and_exit_1(wanted: str) -> None:
    output, exit_code = ask(f"replay order {wanted}")
    assert (output.count("\n"), output[:10], exit_code) == (1, "tillroll: ", 1)


def test_without_its_key_an_address_cannot_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TILLROLL_PII_KEY_FILE")
    output, exit_code = ask(f"replay order {EMAIL} --data {tmp_path}")
    assert (output.count("\n"), exit_code) == (1, 2)
    assert list(tmp_path.iterdir()) == [], "asking makes no key"


def test_an_unfinished_order_says_which_acts_are_safe_and_which_are_not() -> None:
    story = json.loads(ask("replay order 2 --json")[0])
    acts = {act["name"]: (act["is_safe"], act["command"]) for act in story["outlook"]["acts"]}
    assert acts == {
        "compensate": (True, "tillroll saga compensate 2 --reason TEXT"),
        "retry": (False, "tillroll saga retry 2 --reason TEXT"),
    }
    assert story["outlook"]["overdue_s"] > 0


@pytest.mark.parametrize("step", Step)
def test_what_is_called_safe_is_what_the_desk_allows(step: Step) -> None:
    acts = outlook(Saga(step=step, order_id="1"), NONE, None, START).acts
    assert {act.name for act in acts if act.is_safe} == set(possible_acts(step))


def test_a_refund_due_names_who_how_much_and_for_what() -> None:
    (refund,) = json.loads(ask("replay refunds --json")[0])["items"]
    assert (refund["order_id"], refund["user_id"], refund["amount"], refund["trade_id"]) == (
        "3",
        7,
        500,
        "T-1",
    )
    assert "REFUND DUE CNY 5.00 to user 7 for trade T-1" in ask("replay order 3")[0]


def test_as_of_a_time_only_what_had_happened_is_told(shop_dsn: str) -> None:
    dsns = dict.fromkeys(("user", "goods", "inventory", "order", "read"), shop_dsn)
    whole = read_story(dsns, "3")
    assert whole is not None
    for number, entry in enumerate(whole.entries, 1):
        then = read_story(dsns, "3", Ask(entry.at, entry.at))
        told = 0 if then is None else len(then.entries)
        same = [later for later in whole.entries if later.at <= entry.at]
        assert told in (0, len(same)), f"at step {number}"
        assert told or number < 3
    before = json.loads(ask(f"replay order 3 --json --at {(START + timedelta(minutes=5)).isoformat()}")[0])
    assert (before["status"], before["outlook"]["refunds"]) == ("TO_PAY", [])
    assert before["outlook"]["answered"] == "200: status 1, to pay"


def test_personal_fields_of_a_stream_are_shown_as_sealed_unless_asked_for() -> None:
    hidden = ask("replay stream user-7")[0]
    assert "sealed-address" not in hidden
    assert "(sealed)" in hidden
    shown = ask("replay stream user-7 --personal")[0]
    assert "sealed-address" in shown
    assert "argon2id" not in shown


def test_the_page_needs_nothing_else_and_escapes_what_strangers_wrote(shop_dsn: str) -> None:
    dsns = dict.fromkeys(("user", "goods", "inventory", "order", "read"), shop_dsn)
    story = read_story(dsns, "3", Ask(START))
    assert story is not None
    page = page_of(story, "CNY", START)
    assert "&lt;b&gt;pay&lt;/b&gt;" in page
    assert "<b>pay" not in page
    assert not re.search(r"(?: src=|href|url\(|@import|<script|<link)", page)
    assert page.count('<g class="mark') == len(story.entries)
    assert "Refund due: CNY 5.00" in page


def test_the_page_is_written_and_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "order.html"
    assert ask(f"replay order 3 --html {file}") == (f"{file} written\n", 0)
    assert file.read_text().startswith("<!doctype html>")
    output, exit_code = ask(f"replay order 3 --html {tmp_path}/none/order.html")
    assert (output, exit_code) == (f"tillroll: {tmp_path}/none/order.html: No such file or directory\n", 2)


def test_a_drawing_keeps_the_order_and_labels_the_pauses_it_cuts() -> None:
    shop = history("d")
    entries = timeline("3", [event for log in shop.logs.values() for event in log])
    drawing = draw(entries, {})
    xs = [mark.x for mark in drawing.marks]
    assert xs == sorted(set(xs))
    assert len(drawing.pauses) == sum(entry.since_before_s >= LONG_PAUSE_S for entry in entries) == 1
    assert max(xs) < drawing.width


def test_times_within_one_second_are_told_as_the_time_since() -> None:
    at = START.replace(microsecond=0)
    a_day = 86_400_000
    ms = (0, 0, 21, 21, 956, 956, 1_000, 1_000, a_day + 1_000)
    moments = [at + timedelta(milliseconds=after) for after in ms]
    entries = [Entry(moment, 0.0, "", "", "", "OrderStarted", "", "order", 1) for moment in moments]
    words = [label.words for label in draw(tuple(entries), {}).times]
    assert words == [f"{at:%H:%M:%S}", "+21 ms", "+956 ms", *[f"{moments[-1]:%H:%M:%S}"] * 2]


@pytest.mark.parametrize("options", ["", " --json", " --at 2026-11-23T14:00:05Z", " --limit 2"])
def test_goods_are_shown_as_replay_stock_shows_them(options: str) -> None:
    shown = ask(f"replay stock 12{options}")
    assert shown[1] == 0
    assert ask(f"replay order goods-12{options}") == shown


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        (849, "CNY", "CNY 8.49"),
        (849, "JPY", "JPY 849"),
        (1_234_567, "KWD", "KWD 1,234.567"),
        (-5, "EUR", "EUR -0.05"),
    ],
)
def test_money_has_the_digits_of_its_currency(amount: int, currency: str, words: str) -> None:
    assert money(amount, currency) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (0.25, "250 ms"),
        (9.94, "9.9 s"),
        (59, "59 s"),
        (3_725, "1 h 2 min"),
        (90_000, "1 day 1 h"),
    ],
)
def test_durations_are_two_units_at_most(seconds: float, words: str) -> None:
    assert lasted(seconds) == words
