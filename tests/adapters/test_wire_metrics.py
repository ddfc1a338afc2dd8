"""What became of messages, in the numbers of the process that took them."""

from adapters.http_metrics import HttpMetrics
from adapters.wire_metrics import WireMetrics
from orchestrator.intake import OUTCOMES
from orchestrator.inventory_worker import COMMAND_OUTCOMES
from orchestrator.saga_runner import REPLY_OUTCOMES


def test_messages_and_what_they_said_are_counted_by_role_and_outcome() -> None:
    wire = WireMetrics()
    wire.messages("inventory")("handled")
    wire.messages("inventory")("handled")
    wire.messages("orchestrator")("parked-unreadable")
    wire.items("orchestrator", REPLY_OUTCOMES)("ignored-unknown-order")
    lines = HttpMetrics([wire.registry]).text().decode().splitlines()

    assert 'tillroll_wire_messages_total{outcome="handled",role="inventory"} 2.0' in lines
    assert 'tillroll_wire_messages_total{outcome="parked-unreadable",role="orchestrator"} 1.0' in lines
    assert 'tillroll_wire_items_total{outcome="ignored-unknown-order",role="orchestrator"} 1.0' in lines


def test_every_word_is_shown_from_the_start() -> None:
    wire = WireMetrics()
    wire.messages("inventory")
    wire.items("inventory", COMMAND_OUTCOMES)
    text = HttpMetrics([wire.registry]).text().decode()

    assert 'tillroll_wire_messages_total{outcome="parked-failed",role="inventory"} 0.0' in text
    assert text.count("tillroll_wire_messages_total{") == len(OUTCOMES)
    assert text.count("tillroll_wire_items_total{") == len(COMMAND_OUTCOMES)


def test_every_name_is_told_once_whatever_is_shown_with_it() -> None:
    lines = HttpMetrics([WireMetrics().registry]).text().decode().splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]

    assert len(types) == len(set(types))
    assert {"tillroll_http_requests_total", "tillroll_wire_messages_total"} <= set(types)


def test_a_process_without_messages_shows_its_own_numbers_only() -> None:
    assert b"tillroll_wire" not in HttpMetrics().text()
