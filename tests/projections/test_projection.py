"""What holds for every projection."""

from typing import Any

from domain.cart import CheckoutBegun, CheckoutDropped
from domain.events import EVENTS
from domain.key import AnsweredUndecided, KeyUsed
from domain.services import GOODS, SERVICES
from domain.session import SessionBegun, SessionEnded, SessionRotated
from domain.user import EmailClaimed, EmailReleased, LoggedOutElsewhere, LoggedOutEverywhere
from projections import PROJECTIONS
from projections.goods import GOODS as GOODS_PROJECTION
from projections.order_info import ORDER_INFO
from projections.projection import fold_log, key_of
from tests.shop_history import ShopHistory

SHOWN_NOWHERE: frozenset[type[Any]] = frozenset(
    {
        EmailClaimed,
        EmailReleased,
        LoggedOutElsewhere,
        LoggedOutEverywhere,
        SessionBegun,
        SessionRotated,
        SessionEnded,
        KeyUsed,
        AnsweredUndecided,
        CheckoutBegun,
        CheckoutDropped,
    }
)
"""Facts that only their own service asks for, in its log."""


def test_every_event_is_shown_or_is_known_to_be_shown_nowhere() -> None:
    shown = frozenset[type[Any]]().union(*(projection.events for projection in PROJECTIONS))
    assert shown | SHOWN_NOWHERE == frozenset(EVENTS.values())
    assert not shown & SHOWN_NOWHERE


def test_names_are_unique_and_logs_exist() -> None:
    names = [projection.name for projection in PROJECTIONS]
    tables = [table.name for projection in PROJECTIONS for table in projection.tables]
    assert len(set(names)) == len(names)
    assert len(set(tables)) == len(tables)
    assert {projection.log for projection in PROJECTIONS} == {service.log for service in SERVICES}


def test_a_row_is_found_by_the_number_in_its_streams_name() -> None:
    shop = ShopHistory()
    shop.stocked(12, units=5)
    assert [key_of(recorded) for recorded in shop.logs["inventory"]] == [12]
    for projection in PROJECTIONS:
        assert all(table.columns[0] == table.primary_key[0] for table in projection.tables)


def test_a_fold_gives_the_rows_of_each_table_by_key() -> None:
    shop = ShopHistory()
    shop.stocked(11, units=5)
    shop.placed("90", [(11, 2)])
    folded = fold_log(ORDER_INFO, shop.logs["order"])
    assert folded.keys() == {"order_info", "order_goods"}
    assert folded["order_info"].keys() == folded["order_goods"].keys() == {90}


def test_a_fold_of_another_services_events_is_empty() -> None:
    shop = ShopHistory()
    shop.stocked(11, units=5)
    assert fold_log(GOODS_PROJECTION, shop.logs["inventory"]) == {"goods": {}}
    assert GOODS.log == GOODS_PROJECTION.log
