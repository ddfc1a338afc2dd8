"""What else goes on in a shop: users come, sign in and leave, goods come and go, stock is counted."""

from collections.abc import Callable
from datetime import timedelta
from hashlib import blake2s
from typing import Final

from benchmarks.order_stories import Story, order
from benchmarks.sealed import EMAIL_BYTES, HASH_BYTES, NAME_BYTES, sealed
from benchmarks.shop import Shop
from domain import streams
from domain.cart import CartLine, ChangeCartLine, CloseCart, PutCartLine, RemoveCartLine
from domain.goods import ChangeGoods, CreateGoods, DeleteGoods
from domain.refusals import Refusal
from domain.services import GOODS, INVENTORY, ORDER, USER
from domain.session import EndSession, OpenSession, RotateSession
from domain.stock import AdjustStock, SetInv, SetInvMany
from domain.user import ChangeProfile, EraseUser, RegisterUser, Role, User

STAFF: Final = "user-1"
FIRST_USERS: Final = 10
MOST_USERS: Final = 20_000
MOST_GOODS: Final = 10_000
FEWEST_GOODS: Final = 10
GOODS_AT_ONCE: Final = 50
SESSION_LASTS: Final = timedelta(days=30)
FRESH_STOCK: Final = (400, 4_000)
WORDS: Final = ("mug", "tray", "candle", "lantern", "teapot", "clock", "parasol", "bunting", "doormat", "jar")
COLOURS: Final = ("red", "white", "blue", "green", "ivory", "rose", "silver", "black")


def opening(shop: Shop, goods: int) -> Story:
    """Staff, the payment service, some users, and the first goods with their stock."""
    _register(shop, Role.STAFF)
    _register(shop, Role.SERVICE)
    for _ in range(FIRST_USERS):
        shop.users.append(_register(shop, Role.CUSTOMER))
    made = [_create(shop) for _ in range(goods)]
    yield shop.hop()
    for first in range(0, goods, GOODS_AT_ONCE):
        counted = tuple(_counted(shop, goods_id) for goods_id in made[first : first + GOODS_AT_ONCE])
        shop.tell(INVENTORY, SetInvMany(counted), STAFF)
    yield shop.hop()
    shop.goods += made


def registration(shop: Shop) -> Story:
    if len(shop.users) >= MOST_USERS:
        return
    user_id = _register(shop, Role.CUSTOMER)
    yield 1
    shop.users.append(user_id)


def session(shop: Shop) -> Story:
    """Opened, kept alive for a while, and ended or left to expire."""
    if not shop.users:
        return
    user_id = shop.rng.choice(shop.users)
    user: User = shop.state(USER, streams.user(user_id))
    session_id, digest, caller = shop.token(), shop.token(), streams.user(user_id)
    expires_at = shop.now + SESSION_LASTS
    shop.tell(USER, OpenSession(session_id, user_id, user.password_hash, digest, expires_at), caller)
    try:
        for _ in range(shop.rng.randrange(3)):
            yield 400 + shop.rng.randrange(200)
            used, digest = digest, shop.token()
            shop.tell(USER, RotateSession(session_id, used, digest, shop.now), caller)
        yield 400
        if shop.rng.random() < 0.5:
            shop.tell(USER, EndSession(session_id), caller)
    except Refusal:
        # Its user has left for good.
        pass
    shop.forget((streams.session(session_id),))


def profile(shop: Shop) -> Story:
    yield 0
    user_id = shop.visitor()
    if user_id is not None:
        change = ChangeProfile(user_id, nickname=sealed(shop.rng, NAME_BYTES))
        shop.tell(USER, change, streams.user(user_id))
        shop.leave(user_id)


def leaving(shop: Shop) -> Story:
    """Erased, and the cart closed. They are few, so their last states may stay in memory."""
    user_id = shop.visitor()
    if user_id is None:
        return
    caller = streams.user(user_id)
    shop.users.remove(user_id)
    shop.leave(user_id)
    shop.tell(USER, EraseUser(user_id, _digest(user_id)), caller)
    yield shop.hop()
    shop.tell(ORDER, CloseCart(user_id), "erasure")


def browsing(shop: Shop) -> Story:
    """Lines are put, changed and removed again, one at a time."""
    user_id = shop.visitor()
    if user_id is None:
        return
    caller = streams.user(user_id)
    for goods_id in shop.some_goods(1 + shop.rng.randrange(3)):
        line = CartLine(goods_id, 1 + shop.rng.randrange(4), checked=False)
        shop.tell(ORDER, PutCartLine(user_id, line), caller)
        yield 1 + shop.rng.randrange(4)
        if shop.rng.random() < 0.3:
            shop.tell(ORDER, ChangeCartLine(user_id, goods_id, nums=5 + shop.rng.randrange(4)), caller)
        if shop.rng.random() < 0.3:
            shop.tell(ORDER, RemoveCartLine(user_id, goods_id), caller)
    shop.leave(user_id)


def new_goods(shop: Shop) -> Story:
    if len(shop.goods) >= MOST_GOODS:
        return
    goods_id = _create(shop)
    yield shop.hop()
    shop.tell(INVENTORY, _counted(shop, goods_id), STAFF)
    yield shop.hop()
    shop.goods.append(goods_id)


def changed_goods(shop: Shop) -> Story:
    yield 0
    for goods_id in shop.some_goods(1):
        shop.tell(GOODS, ChangeGoods(goods_id, price=_price(shop)), STAFF)


def deleted_goods(shop: Shop) -> Story:
    yield 0
    if len(shop.goods) <= FEWEST_GOODS:
        return
    for goods_id in shop.some_goods(1):
        shop.goods.remove(goods_id)
        shop.low.pop(goods_id, None)
        shop.tell(GOODS, DeleteGoods(goods_id), STAFF)


def stocktaking(shop: Shop) -> Story:
    """What is nearly sold out is filled up; somebody finds that a unit broke."""
    yield 0
    if shop.low:
        counted = tuple(_counted(shop, goods_id) for goods_id in list(shop.low)[:GOODS_AT_ONCE])
        shop.tell(INVENTORY, SetInvMany(counted), STAFF)
        shop.low.clear()
    for goods_id in shop.some_goods(1):
        shop.tell(INVENTORY, AdjustStock(goods_id, 1, "found", goods_exist=True), STAFF)
        shop.tell(INVENTORY, AdjustStock(goods_id, -1, "broken", goods_exist=True), STAFF)


WEIGHTS: Final[dict[Callable[[Shop], Story], float]] = {
    order: 56,
    browsing: 15,
    session: 10,
    registration: 8,
    stocktaking: 5,
    profile: 2,
    changed_goods: 2.9,
    new_goods: 0.5,
    deleted_goods: 0.5,
    leaving: 0.1,
}


def _register(shop: Shop, role: Role) -> int:
    shop.last_user += 1
    user_id = shop.last_user
    register = RegisterUser(
        user_id=user_id,
        email=sealed(shop.rng, EMAIL_BYTES),
        email_digest=_digest(user_id),
        nickname=sealed(shop.rng, NAME_BYTES),
        gender=None,
        role=role,
        password_hash=sealed(shop.rng, HASH_BYTES),
    )
    shop.tell(USER, register, "visitor")
    return user_id


def _digest(user_id: int) -> str:
    return blake2s(str(user_id).encode(), digest_size=16).hexdigest()


def _create(shop: Shop) -> int:
    shop.last_goods += 1
    name = f"{shop.rng.choice(COLOURS)} {shop.rng.choice(WORDS)} {shop.last_goods}"
    shop.tell(GOODS, CreateGoods(shop.last_goods, name, _price(shop)), STAFF)
    return shop.last_goods


def _price(shop: Shop) -> int:
    return 50 + shop.rng.randrange(10_000)


def _counted(shop: Shop, goods_id: int) -> SetInv:
    return SetInv(goods_id, shop.rng.randint(*FRESH_STOCK), goods_exist=True)
