"""What stands in the ranges of some seals now: the part of verifying that other processes do.

A light module: each of them loads it before it begins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from adapters.postgres_seals import LOWEST, SealedLog
from orchestrator.merkle import root_of
from orchestrator.seals import Seal, places, split_marks


@dataclass(frozen=True, slots=True)
class Fault:
    """`after` and `before`: positions of the log between which it is; `seal`: the number, 0 for none."""

    log: str
    seal: int
    after: int
    before: int
    what: str


@dataclass(frozen=True, slots=True)
class Job:
    dsn: str
    log: str
    seals: tuple[Seal, ...]


Read = tuple[int, list[Fault]]
"""How many events stand in some ranges, and what is wrong with them."""


def start() -> None:
    """Nothing: what is loaded for it is what the first job would have to wait for."""


def read_again(job: Job) -> Read:
    events, faults = 0, list[Fault]()
    with SealedLog(job.dsn, job.log) as sealed:
        if _is_as_sealed(sealed, job.seals):
            return sum(seal.covers.count for seal in job.seals), []
        for seal, found in _by_seal(sealed, job.seals):
            events += len(found)
            covers = seal.covers
            if len(found) != covers.count or root_of([leaf for _, leaf in found]) != covers.root:
                faults += _places(sealed, seal, found)
    return events, faults


def _is_as_sealed(sealed: SealedLog, seals: Sequence[Seal]) -> bool:
    """Whether what stands there makes the same roots. Positions are in the hashes: nobody looks at them."""
    hashes = sealed.hashes(_begin(seals), seals[-1].covers.last)
    for seal in seals:
        leaves = list(islice(hashes, seal.covers.count))
        if len(leaves) != seal.covers.count or root_of(leaves) != seal.covers.root:
            hashes.close()
            return False
    return next(hashes, None) is None


def _begin(seals: Sequence[Seal]) -> int:
    return LOWEST if seals[0].number == 1 else seals[0].covers.first - 1


def _by_seal(sealed: SealedLog, seals: Sequence[Seal]) -> Iterator[tuple[Seal, list[tuple[int, bytes]]]]:
    """Each seal with what stands in its range now, read in one go."""
    leaves = sealed.leaves(_begin(seals), seals[-1].covers.last)
    ahead = next(leaves, None)
    for seal in seals:
        found: list[tuple[int, bytes]] = []
        while ahead is not None and ahead[0] <= seal.covers.last:
            found.append(ahead)
            ahead = next(leaves, None)
        yield seal, found


def _places(sealed: SealedLog, seal: Seal, found: Sequence[tuple[int, bytes]]) -> Iterator[Fault]:
    with sealed.another() as other:
        marks = split_marks(other.marks(seal.number))
    for place in places(seal.covers, marks, found):
        yield Fault(seal.log, seal.number, place.after, place.before, place.what)
