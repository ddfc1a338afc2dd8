"""What `tillroll up` makes of an answer that says the shop is not ready."""

import msgspec
import pytest

from adapters.site import _not_ready


@pytest.mark.parametrize(
    ("parts", "missing"),
    [
        ({"broker": "ok", "read-models": "projection goods has stopped"}, ""),
        (
            {
                "read-models": "ok, but projection goods is 40 s behind",
                "saga-list": "projection x has stopped",
            },
            "",
        ),
        ({"broker": "not connected", "order-log": "ok"}, "broker: not connected"),
        (
            {"broker": "not connected", "read-models": "projection goods has stopped"},
            "broker: not connected; read-models: projection goods has stopped",
        ),
    ],
)
def test_only_projections_that_stand_still_do_not_keep_a_shop_from_starting(
    parts: dict[str, str], missing: str
) -> None:
    body = msgspec.json.encode({"type": "urn:tillroll:not-ready", "status": 503, "parts": parts})
    assert _not_ready(body) == missing


def test_an_answer_of_somebody_else_is_told_as_it_is() -> None:
    assert _not_ready(b"no such host") == "no such host"
