"""What monitoring and /readyz are told of projections: asked rarely, and never waited for long."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import cast

import pytest
from prometheus_client import generate_latest

from adapters.http_metrics import HttpMetrics, ProjectionNumbers
from adapters.http_ops import works
from adapters.projection_states import Look, Standing, look
from adapters.projection_watch import Lately, in_words
from adapters.wiring import Plant
from adapters.wiring_api import Readiness
from tests.adapters.projected_shop import kept, projected_shop, recorded_ago, sql

GOODS = Standing(
    projection="goods",
    schema="read",
    log="goods",
    position=7,
    head=9,
    behind_s=3.0,
    quiet_s=3.0,
    moved_at=datetime(2026, 11, 23, tzinfo=UTC),
    error=None,
    fits=True,
)
USER = replace(GOODS, projection="user", log="user", head=7, behind_s=0.0)
WHOLE = Look((USER, GOODS), ())


# /readyz


@pytest.mark.parametrize(
    ("goods", "words", "is_ready"),
    [
        (GOODS, "ok", True),
        (replace(GOODS, behind_s=30.0), "ok", True),
        (replace(GOODS, behind_s=31.2), "ok, but projection goods is 31 s behind", True),
        (
            replace(GOODS, behind_s=31.2, quiet_s=31.2),
            "ok, but projection goods is 31 s behind, no projector is moving it",
            True,
        ),
        (replace(GOODS, behind_s=None, head=None), "ok", True),
        (replace(GOODS, error="x", behind_s=99.0), "projection goods has stopped", False),
        (
            replace(GOODS, fits=False),
            "ok, but projection goods was made by another version of Tillroll",
            True,
        ),
    ],
)
def test_readiness_in_words(goods: Standing, words: str, is_ready: bool) -> None:
    assert in_words([USER, goods]) == words
    assert works(words) is is_ready


class Readable(Readiness):
    """Where everything but projections answers."""

    def __init__(self, states: Look | None) -> None:
        super().__init__(cast(Plant, None), lambda: states)

    async def _broker(self) -> str:
        return "ok"

    async def _log(self, log: str) -> str:
        return "ok"


async def test_readiness_has_a_part_for_the_read_models_and_one_for_the_watchdogs_list() -> None:
    states = Look((replace(GOODS, error="x"), replace(GOODS, schema="order", behind_s=60.0)), ())
    assert await Readable(states).look() == {
        "broker": "ok",
        "read-models": "projection goods has stopped",
        "saga-list": "ok, but projection order.goods is 60 s behind",
        "user-log": "ok",
        "goods-log": "ok",
        "inventory-log": "ok",
        "order-log": "ok",
    }


@pytest.mark.parametrize(
    ("states", "why"),
    [(None, "timeout"), (Look((USER,), ("order cannot be read",)), "order cannot be read")],
)
async def test_strangers_are_not_told_why_nothing_answers(
    states: Look | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await Readable(states).look())["saga-list"] == "no answer"
    assert f"projections in schema order do not answer: {why}" in caplog.messages


def test_all_that_stand_still_are_named() -> None:
    both = [replace(USER, error="x"), replace(GOODS, fits=False, schema="order")]
    assert in_words(both) == (
        "projection user has stopped; projection order.goods was made by another version of Tillroll"
    )


# /metrics


def numbers_of(states: Look | None) -> list[str]:
    text = generate_latest(ProjectionNumbers(lambda: states).registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_metrics_tell_each_projection() -> None:
    stopped = replace(USER, error="x", schema="order")
    assert numbers_of(Look((GOODS, stopped), ())) == [
        "tillroll_projections_known 1.0",
        'tillroll_projection_position{log="goods",projection="goods"} 7.0',
        'tillroll_projection_position{log="user",projection="order.user"} 7.0',
        'tillroll_projection_lag_events{log="goods",projection="goods"} 2.0',
        'tillroll_projection_lag_events{log="user",projection="order.user"} 0.0',
        'tillroll_projection_lag_seconds{log="goods",projection="goods"} 3.0',
        'tillroll_projection_lag_seconds{log="user",projection="order.user"} 0.0',
        'tillroll_projection_stopped{log="goods",projection="goods"} 0.0',
        'tillroll_projection_stopped{log="user",projection="order.user"} 1.0',
    ]


def test_metrics_leave_out_what_is_not_known() -> None:
    assert numbers_of(None) == ["tillroll_projections_known 0.0"]
    partly = numbers_of(Look((replace(GOODS, head=None, behind_s=None),), ("the goods log ...",)))
    assert partly == [
        "tillroll_projections_known 0.0",
        'tillroll_projection_position{log="goods",projection="goods"} 7.0',
        'tillroll_projection_stopped{log="goods",projection="goods"} 0.0',
    ]


def test_other_metrics_are_answered_when_the_database_is_away() -> None:
    away = Lately(partial(look, kept("postgresql://nobody@127.0.0.1:1/none")))
    metrics = HttpMetrics([ProjectionNumbers(away.look).registry])
    metrics.placed()
    text = metrics.text().decode()
    assert "tillroll_projections_known 0.0" in text
    assert "tillroll_projection_position{" not in text
    assert "tillroll_orders_placed_total 1.0" in text


def test_metrics_of_a_real_database(fresh_database: str) -> None:
    shop = projected_shop(fresh_database)
    recorded_ago(fresh_database, shop, seconds=40)
    sql(fresh_database, "UPDATE read.position SET shape = 'older' WHERE projection = 'user'")
    numbers = dict(line.rsplit(" ", 1) for line in numbers_of(look(kept(fresh_database))))
    assert numbers["tillroll_projections_known"] == "1.0"
    assert numbers['tillroll_projection_lag_events{log="goods",projection="goods"}'] == "2.0"
    assert float(numbers['tillroll_projection_lag_seconds{log="goods",projection="goods"}']) > 39
    assert numbers['tillroll_projection_stopped{log="user",projection="user"}'] == "1.0"
    assert numbers['tillroll_projection_lag_events{log="order",projection="order.order_saga"}'] == "0.0"


# how often the database is asked


class Database:
    """Answers when it is let, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = threading.Event()

    def look(self) -> Look:
        self.asked += 1
        assert self.answers.wait(30.0)
        return replace(WHOLE, missing=(str(self.asked),))


def test_many_who_ask_at_once_get_one_answer() -> None:
    database = Database()
    lately = Lately(database.look)
    with ThreadPoolExecutor(10) as threads:
        asking = [threads.submit(lately.look) for _ in range(10)]
        time.sleep(0.1)
        database.answers.set()
        answers = [one.result() for one in asking]
    assert {one.missing for one in answers if one} == {("1",)}
    assert database.asked == 1


def test_the_database_is_asked_once_a_second() -> None:
    database = Database()
    database.answers.set()
    now = [100.0]
    lately = Lately(database.look, lambda: now[0])
    asked = []
    for now[0] in (100.0, 100.5, 100.9, 101.1, 101.5, 102.2):
        lately.look()
        asked.append(database.asked)
    assert asked == [1, 1, 1, 2, 2, 3]


def test_nobody_waits_longer_than_two_seconds_and_nobody_asks_a_second_time_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.projection_watch.WAIT_S", 0.2)
    monkeypatch.setattr("adapters.projection_watch.FRESH_S", 0.1)
    database = Database()
    lately = Lately(database.look)
    began = time.monotonic()
    assert [lately.look(), lately.look()] == [None, None]
    assert 0.4 <= time.monotonic() - began < 2.0
    assert database.asked == 1
    database.answers.set()
    answer = lately.look()
    assert answer is not None
    # What was asked long ago is no answer for now.
    assert lately.look() in (answer, replace(WHOLE, missing=("2",)))


def test_a_bug_is_not_hidden() -> None:
    def wrong() -> Look:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Lately(wrong).look()
