"""Passwords that nobody may choose: a file of the shop's own choice, such as a list of breached ones."""

from pathlib import Path
from typing import Final

from adapters.settings import SettingError

MAX_LINES: Final = 1_000_000
"""About 100 MB of memory in every api process."""


def refused_passwords(path: Path | None) -> frozenset[str]:
    """One a line, as they are and in lower case; none without a file. Raises SettingError."""
    if path is None:
        return frozenset()
    try:
        with path.open(encoding="utf-8") as file:
            lines = [line.rstrip("\r\n") for line, _ in zip(file, range(MAX_LINES + 1), strict=False)]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"TILLROLL_PASSWORD_BLOCKLIST: {path}: {error}") from error
    if len(lines) > MAX_LINES:
        raise SettingError(f"TILLROLL_PASSWORD_BLOCKLIST: {path}: more than {MAX_LINES:,} lines")
    return frozenset(lines) | frozenset(line.lower() for line in lines)
