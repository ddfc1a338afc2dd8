"""Who may call what: one table, and nothing that is not in it can be reached.

A route that is missing here stops the application from being made (adapters.http_call), and a test
compares the table with the OpenAPI document.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers

from adapters.http_errors import Forbidden, Unauthorized
from adapters.http_parts import HttpParts
from adapters.paseto_tokens import Claims, TokenRefused
from domain import streams
from domain.user import Role

Who = frozenset[Role] | None
"""The roles that may call; None: anybody, with or without a token."""

ANYBODY: Final = None
ANY_USER: Final = frozenset(Role)
CUSTOMER: Final = frozenset({Role.CUSTOMER})
STAFF: Final = frozenset({Role.STAFF})
SERVICE: Final = frozenset({Role.SERVICE})

WHO: Final[Mapping[tuple[str, str], Who]] = {
    ("POST", "/v1/users"): ANYBODY,
    ("GET", "/v1/users/me"): ANY_USER,
    ("PATCH", "/v1/users/me"): ANY_USER,
    ("DELETE", "/v1/users/me"): ANY_USER,
    ("GET", "/v1/users/{user_id}"): STAFF,
    ("PATCH", "/v1/users/{user_id}"): STAFF,
    ("POST", "/v1/sessions"): ANYBODY,
    ("POST", "/v1/sessions/refresh"): ANYBODY,
    ("DELETE", "/v1/sessions"): ANY_USER,
    ("POST", "/v1/goods"): STAFF,
    ("GET", "/v1/goods"): ANYBODY,
    ("GET", "/v1/goods/{goods_id}"): ANYBODY,
    ("PATCH", "/v1/goods/{goods_id}"): STAFF,
    ("DELETE", "/v1/goods/{goods_id}"): STAFF,
    ("PUT", "/v1/inventory"): STAFF,
    ("PUT", "/v1/inventory/{goods_id}"): STAFF,
    ("GET", "/v1/inventory/{goods_id}"): ANYBODY,
    ("POST", "/v1/inventory/{goods_id}/adjustments"): STAFF,
    ("POST", "/v1/inventory/sell"): SERVICE,
    ("POST", "/v1/inventory/rollback"): SERVICE,
    ("GET", "/v1/inventory/sales/{order_id}"): STAFF | SERVICE,
    ("GET", "/v1/cart"): CUSTOMER,
    ("PUT", "/v1/cart"): CUSTOMER,
    ("PUT", "/v1/cart/{goods_id}"): CUSTOMER,
    ("PATCH", "/v1/cart/{goods_id}"): CUSTOMER,
    ("DELETE", "/v1/cart/{goods_id}"): CUSTOMER,
    ("POST", "/v1/orders"): CUSTOMER,
    ("GET", "/v1/orders"): CUSTOMER | STAFF,
    ("GET", "/v1/orders/{order_id}"): CUSTOMER | STAFF,
    ("POST", "/v1/orders/{order_id}/payment"): STAFF | SERVICE,
    ("POST", "/v1/orders/{order_id}/cancel"): CUSTOMER | STAFF,
    ("GET", "/v1/orders/{order_id}/timeline"): CUSTOMER | STAFF,
    ("GET", "/v1/sagas"): STAFF,
    ("GET", "/v1/sagas/{order_id}"): STAFF,
    ("POST", "/v1/sagas/{order_id}/retry"): STAFF,
    ("POST", "/v1/sagas/{order_id}/compensate"): STAFF,
    ("GET", "/healthz"): ANYBODY,
    ("GET", "/readyz"): ANYBODY,
    ("GET", "/metrics"): ANYBODY,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent the request, as the token says."""

    claims: Claims

    @property
    def user_id(self) -> int:
        return self.claims.user_id

    @property
    def name(self) -> str:
        """As it stands in the log."""
        return streams.user(self.claims.user_id)

    @property
    def sees_own_only(self) -> bool:
        return self.claims.role is Role.CUSTOMER


async def admit(headers: Headers, who: Who, parts: HttpParts) -> Caller | None:
    """The caller, if the table lets them in. Raises Unauthorized, TokenRefused, Forbidden.

    Where anybody may call, a token that is not good counts as none: logging in must not fail because of
    an old one.
    """
    try:
        caller = await _caller(headers, parts)
    except (Unauthorized, TokenRefused):
        if who is None:
            return None
        raise
    if who is not None and caller.claims.role not in who:
        refusal = Forbidden()
        refusal.add_note(f"{caller.name}, {caller.claims.role.name.lower()}")
        raise refusal
    return caller


async def _caller(headers: Headers, parts: HttpParts) -> Caller:
    said = headers.getlist("authorization")
    if not said:
        raise Unauthorized
    if len(said) > 1:
        # Whoever stands in between may have looked at the other one.
        raise TokenRefused("more than one Authorization header")
    scheme, _, token = said[0].partition(" ")
    if scheme.lower() != "bearer":
        raise TokenRefused("no bearer token")
    claims = parts.tokens.verify(token.strip(" "))
    await parts.sessions.admit(claims)
    return Caller(claims)
