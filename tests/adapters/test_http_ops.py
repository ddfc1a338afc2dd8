"""Readiness and metrics over HTTP: what takes an instance out of service, and what does not."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.adapters.http_client import Client, open_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

LATE = "ok, but projection goods is 31 s behind"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def test_a_part_that_lags_is_told_and_stays_in_service(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.shop, "ready", {"order-log": "ok", "read-models": LATE})
    ready = await client.call("GET", "/readyz")
    assert ready.status == 200
    assert ready.json == {"status": "ok", "parts": {"order-log": "ok", "read-models": LATE}}


@pytest.mark.parametrize("state", ["projection goods has stopped", "no answer", "okay", "", "not ok, but"])
async def test_a_part_that_does_not_work_takes_it_out(
    client: Client, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(client.shop, "ready", {"order-log": "ok", "read-models": state})
    failing = await client.call("GET", "/readyz")
    assert (failing.status, failing.name) == (503, "not-ready")
    assert failing.json["parts"] == {"order-log": "ok", "read-models": state}
