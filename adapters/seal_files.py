"""Seals outside the database: the witness that the sealer leaves beside it, and files to hold elsewhere.

Both hold the newest seal of some logs; through the hashes in it, one seal vouches for all that came before.
Whoever rewrites the database would have to rewrite every such file as well.
"""

import os
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from orchestrator.seals import FORMAT, Range, Seal

FILE_MODE: Final = 0o644
MAX_FILE_BYTES: Final = 1024**2


class BadSealFile(Exception):
    """A file of seals cannot be read or written; the text says which and why, in one line."""


class SealText(msgspec.Struct, forbid_unknown_fields=True):
    """A seal as JSON: hashes and signatures as hexadecimal digits."""

    log: str
    number: int
    first: int
    last: int
    count: int
    root: str
    previous: str
    sealed_at: datetime
    key: str
    signature: str

    @classmethod
    def of(cls, seal: Seal) -> "SealText":
        covers = seal.covers
        hashes = (covers.root.hex(), seal.previous.hex())
        place = (seal.log, seal.number, covers.first, covers.last, covers.count)
        return cls(*place, *hashes, seal.sealed_at, seal.key_id, seal.signature.hex())

    def seal(self) -> Seal:
        """Raises ValueError."""
        covers = Range(self.first, self.last, self.count, bytes.fromhex(self.root))
        previous, signature = bytes.fromhex(self.previous), bytes.fromhex(self.signature)
        return Seal(self.log, self.number, covers, previous, self.sealed_at, self.key, signature)


class SealsText(msgspec.Struct, forbid_unknown_fields=True):
    """`public_keys`: what they can be verified with, by the keys' ids."""

    format: str
    seals: list[SealText]
    public_keys: dict[str, str]


def write_seals(path: Path, seals: Iterable[Seal], public: Mapping[str, bytes]) -> None:
    """Replaces the file as a whole. Raises BadSealFile."""
    keys = {key_id: key.hex() for key_id, key in public.items()}
    text = SealsText(FORMAT, [SealText.of(seal) for seal in seals], keys)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(text)) + b"\n")
        os.chmod(draft, FILE_MODE)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BadSealFile(f"{path}: {error.strerror}") from error


def read_seals(path: Path) -> dict[str, Seal]:
    """By log. Raises BadSealFile."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadSealFile(f"{path}: this is no file of seals, it is too large")
        text = msgspec.json.decode(path.read_bytes(), type=SealsText)
        if text.format != FORMAT:
            raise BadSealFile(f"{path}: its format is {text.format[:40]!r}, expected {FORMAT!r}")
        return {each.log: each.seal() for each in text.seals}
    except OSError as error:
        raise BadSealFile(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise BadSealFile(f"{path}: this is no file of seals: {error}") from error


def witness_path(data: Path, log: str) -> Path:
    """Where the sealer leaves the newest seal of a log."""
    return data / "seals" / f"{log}.json"


def read_witnesses(data: Path, logs: Iterable[str]) -> dict[str, Seal]:
    """Those that are there. Raises BadSealFile."""
    found: dict[str, Seal] = {}
    for log in logs:
        path = witness_path(data, log)
        if path.exists():
            found |= read_seals(path)
    return found
