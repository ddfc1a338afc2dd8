"""The shop's read models, each fed by exactly one log: one file per question, pure, imports only domain."""

from projections.goods import GOODS
from projections.inventory import INVENTORY
from projections.order_info import ORDER_INFO
from projections.order_saga import ORDER_SAGA
from projections.projection import Projection
from projections.shopping_cart import SHOPPING_CART
from projections.stock_sell_detail import STOCK_SELL_DETAIL
from projections.user import USER

PROJECTIONS: tuple[Projection, ...] = (
    USER,
    GOODS,
    INVENTORY,
    STOCK_SELL_DETAIL,
    SHOPPING_CART,
    ORDER_INFO,
    ORDER_SAGA,
)
