"""What the data folder remembers of its first staff account, for the tools of this machine."""

import os
from pathlib import Path
from typing import Final

from adapters.private_file import MODE

PASSWORD_FILE: Final = "staff-password"  # noqa: S105 - a name, not a password
EMAIL_FILE: Final = "staff-email"


def remembered(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip() or None
    except OSError:
        return None


def remember(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "w") as file:
        file.write(text + "\n")


def forget_staff(data: Path, email: str) -> None:
    """Removes both files when the account with this address is erased. Never raises for files not there."""
    known = remembered(data / EMAIL_FILE)
    if known is not None and known.casefold() == email.casefold():
        for name in (EMAIL_FILE, PASSWORD_FILE):
            (data / name).unlink(missing_ok=True)
