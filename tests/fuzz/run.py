"""`make fuzz`: requests made out of the OpenAPI document, sent to a running shop, held against every check.

A shop of its own is started, furnished over its API, and asked by schemathesis as anybody, as a customer, as
staff and as a service, each of whom sees every route. Exit 1 when any check failed.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from adapters.settings import load_settings
from adapters.site import Site, fresh_site
from tests.fuzz.furnish import Furniture, furnish
from tests.fuzz.people import CALLERS, ROLES, Person, Wire

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
PHASES: Final = "examples,coverage,fuzzing,stateful"
FIRST_EXAMPLES: Final = 20
"""Made for each route in one run; more runs follow, each with the next seed, until there are enough."""


@dataclass(frozen=True, slots=True)
class Round:
    """One run of schemathesis. `answers`: how often each status and route, and what must not be."""

    caller: str
    seed: int
    failed: bool
    said: str
    answers: Counter[str]


@dataclass(frozen=True, slots=True)
class Shop:
    """One that runs. `boss`: how its staff sign in."""

    url: str
    boss: dict[str, str]
    furniture: Furniture


def one_round(shop: Shop, caller: str, *, seed: int, examples: int, phases: str = PHASES) -> Round:
    """`examples`: made for each route, at most. Ends when every phase has."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts.json"
        told = {
            "FUZZ_SHOP": json.dumps({"url": shop.url, "boss": shop.boss, **asdict(shop.furniture)}),
            "FUZZ_CALLER": caller,
            "FUZZ_COUNTS": str(counts),
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "PYTHONPATH": str(ROOT),
        }
        ended = subprocess.run(
            _command(shop.url, seed, examples, phases),
            env={**os.environ, **told},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        answers = Counter(json.loads(counts.read_text())) if counts.exists() else Counter[str]()
    failed = ended.returncode != 0 or any(name.startswith("UNEXPECTED") for name in answers)
    return Round(caller, seed, failed or not answers, ended.stdout + ended.stderr, answers)


def _command(url: str, seed: int, examples: int, phases: str) -> list[str]:
    schemathesis = Path(sys.executable).with_name("schemathesis")
    return [
        *(str(schemathesis), "--no-color", "--config-file", str(HERE / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--checks", "all", "--phases", phases),
        *("--max-examples", str(examples), "--seed", str(seed)),
        *("--continue-on-failure", "--generation-database", "none", "--warnings", "off"),
    ]


def furnished(site: Site) -> Shop:
    staff = site.staff
    assert staff is not None
    assert staff.password is not None
    boss = {"email": staff.email, "password": staff.password}
    wire = Wire(site.url)
    return Shop(site.url, boss, furnish(wire, boss, Person(wire, boss, ROLES["customer"])))


def fuzz(shop: Shop, *, requests: int, seed: int) -> list[Round]:
    """Rounds of every caller in turn until so many requests were answered, or one has failed."""
    rounds: list[Round] = []
    while True:
        for caller in CALLERS:
            done = one_round(shop, caller, seed=seed + len(rounds), examples=FIRST_EXAMPLES)
            rounds.append(done)
            sent = asked(rounds)
            print(f"{done.caller}: {sum(done.answers.values()):,} requests, {sent:,} in all", flush=True)
            if done.failed:
                return rounds
        if sent >= requests:
            return rounds


def asked(rounds: list[Round]) -> int:
    return sum(sum(each.answers.values()) for each in rounds)


def report(rounds: list[Round]) -> str:
    """Answers by route and by caller, then what failed, as schemathesis tells it, with its curl."""
    by_route: dict[str, Counter[str]] = defaultdict(Counter)
    by_caller: dict[str, Counter[str]] = defaultdict(Counter)
    for each in rounds:
        for name, count in each.answers.items():
            status, _, route = name.partition(" ")
            by_route[route][status] += count
            by_caller[f"as {each.caller}"][status] += count
    lines = [_line(name, counts) for counts_of in (by_route, by_caller) for name, counts in counts_of.items()]
    for each in rounds:
        if each.failed:
            unexpected = [name for name in each.answers if name.startswith("UNEXPECTED")]
            lines += [f"FAILED as {each.caller}, seed {each.seed}", *unexpected, each.said]
    lines.append(
        f"{asked(rounds):,} requests of {len(by_route)} routes, {sum(each.failed for each in rounds)} runs "
        f"with failures, first seed {rounds[0].seed}"
    )
    return "\n".join(lines)


def _line(name: str, counts: Counter[str]) -> str:
    shares = ", ".join(f"{status}: {count:,}" for status, count in sorted(counts.items()))
    return f"{name:45} {shares}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000, help="at least so many")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats a run")
    given = parser.parse_args()
    settings = load_settings().model_copy(update={"max_open_orders": 1_000_000})
    with fresh_site(settings, "fuzz") as site:
        rounds = fuzz(furnished(site), requests=given.requests, seed=given.seed)
    print(report(rounds))
    return int(any(each.failed for each in rounds))


if __name__ == "__main__":
    sys.exit(main())
