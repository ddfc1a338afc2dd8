"""The key for personal data: named by a setting, or under the data folder, where it is made on first use."""

import os
import re
import secrets
from pathlib import Path
from typing import Final

from adapters.paseto_key import MODE, KeyFileError
from adapters.settings import Settings

HEX_KEY: Final = re.compile(r"[0-9a-f]{64}\s*")


def email_key(settings: Settings) -> bytes:
    """32 bytes that name email streams, written as 64 hexadecimal digits. Raises KeyFileError."""
    path = settings.pii_key_file or settings.data / "keys" / "pii.key"
    try:
        if settings.pii_key_file is None and not path.exists():
            _write_new(path)
        text = path.read_text("ascii")
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    if not HEX_KEY.fullmatch(text):
        raise KeyFileError(f"{path}: expected 64 hexadecimal digits, as `openssl rand -hex 32` prints")
    return bytes.fromhex(text.strip())


def _write_new(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return
