"""Places orders with eventsourcing from threads when it is told to, again and again by the library's retry.

python -m benchmarks.peers.eventsourcing_app --dsn DSN --threads 32 --seconds 10 --shape spread
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from eventsourcing.persistence import IntegrityError
from eventsourcing.utils import retry

from benchmarks.limit_shop import GOODS
from benchmarks.peers.callers import Calling, call_when_told
from benchmarks.peers.eventsourcing_shop import Shop, SnapshottingShop, environment

ATTEMPTS: Final = 1_000
WAIT_S: Final = {"spread": 0.01, "hot": 1.0}
"""Before the next attempt. Where all want the same goods, a short wait makes it many times slower: every
caller reads the long stream again, and all but one in vain. With a long one most are out of the way."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Orders as saved aggregates.")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--shape", required=True)
    parser.add_argument("--snapshots", action="store_true")
    args = parser.parse_args(arguments)
    kind = SnapshottingShop if args.snapshots else Shop
    with kind(environment(args.dsn)) as shop:
        again = retry(IntegrityError, max_attempts=ATTEMPTS, wait=WAIT_S[args.shape])
        call_when_told(again(shop.place), Calling(args.threads, args.seconds, GOODS, args.shape == "hot"))


if __name__ == "__main__":
    main(sys.argv[1:])
