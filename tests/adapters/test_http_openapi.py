"""The OpenAPI document is complete, agrees with the role table, and can be read without a network."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from adapters.http_auth import WHO
from domain.user import Role
from tests.adapters.http_client import Client, open_client

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def operations(client: Client) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in client.app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def routes(client: Client) -> dict[tuple[str, str], APIRoute]:
    known = [route for route in client.app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    return {(method, route.path_format): route for route in known for method in route.methods or ()}


async def test_the_role_table_and_the_document_name_the_same_routes(client: Client) -> None:
    documented = {(method, path): operation for method, path, operation in operations(client)}
    assert documented.keys() == WHO.keys() == routes(client).keys()
    for route, operation in documented.items():
        assert ("security" in operation) == (WHO[route] is not None), route


async def test_every_body_has_an_example_that_is_accepted(client: Client) -> None:
    for (method, path), route in routes(client).items():
        if route.body_field is None:
            continue
        body = client.app.openapi()["paths"][path][method.lower()]["requestBody"]
        example = body["content"]["application/json"]["example"]
        model: Any = route.body_field.field_info.annotation
        TypeAdapter(model).validate_python(example)


async def test_every_answer_has_an_example_of_its_model(client: Client) -> None:
    for method, path, operation in operations(client):
        route = routes(client)[method, path]
        for status, response in operation["responses"].items():
            shown = response.get("content", {}).get("application/json")
            if shown is not None:
                code = int(status)
                model = route.response_model if code == route.status_code else route.responses[code]["model"]
                TypeAdapter(model).validate_json(json.dumps(shown["example"]), strict=True)


async def test_every_problem_has_an_example_of_its_status(client: Client) -> None:
    for method, path, operation in operations(client):
        for status, response in operation["responses"].items():
            problems = response.get("content", {}).get("application/problem+json", {"examples": {}})
            for name, example in problems["examples"].items():
                assert example["value"]["type"] == f"urn:tillroll:{name}", (method, path)
                assert example["value"]["status"] == int(status), (method, path, name)
            if int(status) >= 400:
                assert problems["examples"], (method, path, status)


async def test_every_write_documents_its_position_and_every_read_its_after(client: Client) -> None:
    for method, path, operation in operations(client):
        if not path.startswith("/v1/"):
            continue
        if method == "GET":
            assert "Tillroll-After" in {parameter["name"] for parameter in operation["parameters"]}
        else:
            written = [answer for status, answer in operation["responses"].items() if status < "300"]
            assert all("Tillroll-Position" in answer["headers"] for answer in written), (method, path)


async def test_every_reference_leads_somewhere(client: Client) -> None:
    document = (await client.call("GET", "/openapi.json")).json
    names = set(re.findall(r'"#/components/schemas/(\w+)"', str(document).replace("'", '"')))
    assert names <= document["components"]["schemas"].keys()
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_the_documentation_asks_nobody_else_for_anything(client: Client) -> None:
    page = await client.call("GET", "/docs")
    html = page.raw.decode()
    assert page.status == 200
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", html)
    assert "cdn" not in html.lower()
    loaded = re.findall(r"(?:src|href)=\"(/[^\"]+)\"", html)
    assert len(loaded) >= 3
    for path in [*loaded, "/openapi.json"]:
        assert (await client.call("GET", path)).status == 200, path
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]


async def test_answers_carry_the_security_headers(client: Client) -> None:
    headers = (await client.call("GET", "/healthz")).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Strict-Transport-Security"].startswith("max-age=31536000")


async def test_what_a_role_forbids_is_one_line_in_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    token = await client.user(Role.SERVICE)
    assert (await client.call("POST", "/v1/goods", {"name": "x", "price": 1}, token=token)).status == 403
    (line,) = [record.getMessage() for record in caplog.records if record.name == "adapters.http_errors"]
    assert "service: POST /v1/goods" in line


# operations


async def test_readiness_names_the_part_that_fails(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await client.call("GET", "/readyz")).status == 200
    monkeypatch.setattr(client.shop, "ready", {"order-log": "ok", "nats": "not connected"})
    failing = await client.call("GET", "/readyz")
    assert (failing.status, failing.name) == (503, "not-ready")
    assert failing.json["parts"]["nats"] == "not connected"
    assert (await client.call("GET", "/healthz")).status == 200


async def test_metrics_count_by_route_and_not_by_id(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=1)
    await client.order(customer, (mug, 1))
    await client.order(customer, (mug, 1))
    await client.call("GET", "/v1/goods/424242")
    await client.call("GET", "/v1/nothing/424243")
    text = (await client.call("GET", "/metrics")).raw.decode()
    assert 'route="/v1/goods/{goods_id}",status="404"' in text
    assert 'route="unmatched",status="404"' in text
    assert "42424" not in text
    assert "tillroll_orders_placed_total 1.0" in text
    assert 'tillroll_orders_refused_total{reason="stock-short"} 1.0' in text
    assert 'tillroll_http_request_seconds_bucket{le="0.1",method="POST",route="/v1/orders"}' in text
