"""The keys for personal data: one file, named by a setting, or made on first use under the data folder.

    email <64 hex digits>      names the streams of email addresses; it never changes
    wrap <64 hex digits>       wraps the keys of persons: the first does, all others unwrap

A file with nothing but 64 hexadecimal digits, as `openssl rand -hex 32` prints, is good too: both keys are
made from it, and the first rotation writes them out and leaves the digits themselves behind.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters import private_file
from adapters.key_errors import KeyFileError
from adapters.sealing import derived, new_key
from adapters.settings import Settings

HEX_KEY: Final = re.compile(r"[0-9a-f]{64}")
MAX_WRAPPING: Final = 16

_LINE: Final = re.compile(r"(email|wrap) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class PiiKeys:
    """`email`: losing it means nobody can log in. `wrapping`: the first wraps, all of them unwrap."""

    email: bytes
    wrapping: tuple[bytes, ...]


def pii_key_path(settings: Settings) -> Path:
    return settings.pii_key_file or settings.data / "keys" / "pii.key"


def pii_keys(settings: Settings) -> PiiKeys:
    """Raises KeyFileError."""
    path = pii_key_path(settings)
    if settings.pii_key_file is None and not path.exists():
        _make(path)
    return read_pii_keys(path)


def read_pii_keys(path: Path) -> PiiKeys:
    """Raises KeyFileError."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path}: others can read this key; run: chmod 600 {path}")
        text = path.read_text("ascii").strip()
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    if HEX_KEY.fullmatch(text):
        root = bytes.fromhex(text)
        return PiiKeys(derived(root, "email"), (derived(root, "wrap"),))
    return _parsed(path, text)


def _parsed(path: Path, text: str) -> PiiKeys:
    found = [_LINE.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    lines = [(line[1], bytes.fromhex(line[2])) for line in found if line is not None]
    emails = [key for kind, key in lines if kind == "email"]
    wrapping = tuple(key for kind, key in lines if kind == "wrap")
    if None in found or len(emails) != 1 or not 1 <= len(wrapping) <= MAX_WRAPPING:
        raise KeyFileError(
            f"{path}: expected 64 hexadecimal digits, as `openssl rand -hex 32` prints,"
            " or one line `email <digits>` and lines `wrap <digits>`"
        )
    return PiiKeys(emails[0], wrapping)


def write_pii_keys(path: Path, keys: PiiKeys) -> None:
    """Replaces the file as a whole. Raises KeyFileError."""
    try:
        private_file.replace(path, _written(keys))
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error


def _make(path: Path) -> None:
    try:
        private_file.make_once(path, _written(PiiKeys(new_key(), (new_key(),))))
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error


def _written(keys: PiiKeys) -> str:
    """A secret."""
    lines = [f"email {keys.email.hex()}", *(f"wrap {key.hex()}" for key in keys.wrapping)]
    return "\n".join(lines) + "\n"
