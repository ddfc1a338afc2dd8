"""What tests of the wire share."""

import pytest

from adapters.nats_wire import WireNames


@pytest.fixture
def names(wire_prefix: str) -> WireNames:
    """Of streams and subjects that are this test's own."""
    return WireNames(prefix=wire_prefix, max_bytes=16 * 2**20)
