"""Merkle trees as in RFC 6962, section 2.1: one hash for many leaves, and a short proof that a leaf is in it.

    leaf = SHA-256(0x00 || bytes)      node = SHA-256(0x01 || left || right)      no leaves: SHA-256("")

The tree of n leaves splits at the largest power of two below n. Pairing neighbours level by level, with the
last one going up alone where their number is odd, makes the same tree.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

LEAF = b"\x00"
NODE = b"\x01"


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(LEAF + leaf).digest()


def root_of(leaves: Iterable[bytes]) -> bytes:
    """`leaves`: their hashes, in order."""
    level = list(leaves)
    if not level:
        return sha256().digest()
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path_of(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of a leaf: the hashes beside its way to the root, the lowest first."""
    assert 0 <= index < len(leaves), f"{index} is none of {len(leaves)} leaves"
    level, path = list(leaves), list[bytes]()
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            path.append(level[beside])
        level, index = _above(level), index // 2
    return tuple(path)


def root_from(leaf: bytes, index: int, count: int, path: Iterable[bytes]) -> bytes | None:
    """The root that follows from a leaf's hash and its audit path; None for a path of another length."""
    if not 0 <= index < count:
        return None
    known, rest = leaf, iter(path)
    while count > 1:
        if index ^ 1 < count:
            beside = next(rest, None)
            if beside is None:
                return None
            known = sha256(NODE + (beside + known if index % 2 else known + beside)).digest()
        index, count = index // 2, (count + 1) // 2
    return known if next(rest, None) is None else None


def _above(level: Sequence[bytes]) -> list[bytes]:
    pairs = iter(level)
    above = [sha256(NODE + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
    if len(level) % 2:
        above.append(level[-1])
    return above
