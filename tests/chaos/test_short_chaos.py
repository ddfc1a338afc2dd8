"""Half a minute of chaos, every kind of fault at least once: the run and the checks of `make chaos`."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.chaos import Plan, chaos
from tests.chaos.faults import EVERY
from tests.chaos.shop import Terms
from tests.chaos.workload import Size

logger = logging.getLogger(__name__)

PLAN = Plan(
    seconds=20,
    seed=20_261_125,
    terms=Terms(payment_window_s=5, sell_deadline_s=4),
    size=Size(customers=16, goods=60, per_s=40),
    kill_every_s=2.0,
    other_every_s=1.0,
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's tmp_path, which is too long for a socket."""
    made = Path(tempfile.mkdtemp(prefix="tillroll-chaos-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def test_half_a_minute_of_every_fault_breaks_no_promise(folder: Path) -> None:
    result = await chaos(PLAN, folder, logger.info)

    assert result.broken == {}
    assert result.is_clean
    assert {fault.name for fault in EVERY} - set(result.faults) == set()
    assert result.orders_decided > 20
    assert result.accepted > 0
    assert result.dropped["stored dropped"] > 0
