"""Places orders with eventsourcing from threads, when it is told to.

python -m benchmarks.peers.eventsourcing_app --dsn DSN --threads 32 --seconds 10 --shape spread
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.limit_shop import GOODS
from benchmarks.peers.callers import Calling, call_when_told
from benchmarks.peers.eventsourcing_shop import Shop, SnapshottingShop, environment


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
        call_when_told(shop.place, Calling(args.threads, args.seconds, GOODS, args.shape == "hot"))


if __name__ == "__main__":
    main(sys.argv[1:])
