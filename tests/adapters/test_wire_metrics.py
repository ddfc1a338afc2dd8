"""What became of messages, in the numbers of the process that took them."""

from adapters.http_metrics import HttpMetrics
from adapters.wire_metrics import WireMetrics


def test_messages_and_what_they_said_are_counted_by_role_and_outcome() -> None:
    wire = WireMetrics()
    wire.messages("inventory")("handled")
    wire.messages("inventory")("handled")
    wire.messages("orchestrator")("parked-unreadable")
    wire.items("orchestrator")("ignored-unknown-order")
    lines = HttpMetrics([wire.registry]).text().decode().splitlines()

    assert 'tillroll_wire_messages_total{outcome="handled",role="inventory"} 2.0' in lines
    assert 'tillroll_wire_messages_total{outcome="parked-unreadable",role="orchestrator"} 1.0' in lines
    assert 'tillroll_wire_items_total{outcome="ignored-unknown-order",role="orchestrator"} 1.0' in lines


def test_every_name_is_told_once_whatever_is_shown_with_it() -> None:
    lines = HttpMetrics([WireMetrics().registry]).text().decode().splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]

    assert len(types) == len(set(types))
    assert {"tillroll_http_requests_total", "tillroll_wire_messages_total"} <= set(types)


def test_a_process_without_messages_shows_its_own_numbers_only() -> None:
    assert b"tillroll_wire" not in HttpMetrics().text()
