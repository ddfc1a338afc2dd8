"""The key that signs seals: one file, named by a setting, or made on first use under the data folder.

    seal <64 hex digits>       signs: an Ed25519 seed
    public <64 hex digits>     of a key that signed before: its seals can still be verified

A file without a `seal` line is what an auditor gets: it verifies and cannot sign.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from adapters import private_file
from adapters.key_errors import KeyFileError
from adapters.settings import Settings

KEY_ID_DIGITS: Final = 16
HEX_KEY: Final = re.compile(r"[0-9a-f]{64}")

_LINE: Final = re.compile(r"(seal|public) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class SealKeys:
    """`signing`: None for whoever can only verify. `public`: raw public keys by their ids, newest first."""

    signing: Ed25519PrivateKey | None
    public: Mapping[str, bytes]

    @property
    def key_id(self) -> str:
        """Of the key that signs. Raises KeyFileError."""
        if self.signing is None:
            raise KeyFileError("there is no key to seal with, only public ones")
        return key_id_of(_raw(self.signing))

    def sign(self, body: bytes) -> bytes:
        """Raises KeyFileError."""
        assert self.key_id
        assert self.signing is not None
        return self.signing.sign(body)

    def is_signed(self, key_id: str, signature: bytes, body: bytes) -> bool:
        public = self.public.get(key_id)
        if public is None:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, body)
        except InvalidSignature:
            return False
        return True

    def told(self) -> str:
        """What an auditor gets."""
        return "".join(f"public {key.hex()}\n" for key in self.public.values())


def key_id_of(public: bytes) -> str:
    return sha256(public).hexdigest()[:KEY_ID_DIGITS]


def seal_key_path(settings: Settings) -> Path:
    return settings.seal_key_file or settings.data / "keys" / "seal.key"


def seal_keys(settings: Settings) -> SealKeys:
    """Made on first use where no setting names a file. Raises KeyFileError."""
    path = seal_key_path(settings)
    if settings.seal_key_file is None and not path.exists():
        try:
            private_file.make_once(path, f"seal {secrets.token_hex(32)}\n")
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from error
    return read_seal_keys(path)


def read_seal_keys(path: Path) -> SealKeys:
    """Raises KeyFileError."""
    try:
        text = path.read_text("ascii")
        is_secret = text.startswith("seal ") or "\nseal " in text or HEX_KEY.fullmatch(text.strip())
        if is_secret and path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path}: others can read this key; run: chmod 600 {path}")
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    if HEX_KEY.fullmatch(text.strip()):
        return _keys([("seal", text.strip())])
    found = [_LINE.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    lines = [(line[1], line[2]) for line in found if line is not None]
    if not lines or None in found or sum(kind == "seal" for kind, _ in lines) > 1:
        raise KeyFileError(
            f"{path}: expected one line `seal <64 hexadecimal digits>`, lines `public <digits>`, or both"
        )
    return _keys(lines)


def public_keys(text: str) -> SealKeys:
    """From what was typed: a public key's digits, or the file that holds some. Raises KeyFileError."""
    if HEX_KEY.fullmatch(text):
        return _keys([("public", text)])
    keys = read_seal_keys(Path(text))
    return SealKeys(None, keys.public)


def replace_key(settings: Settings) -> SealKeys:
    """From now on another key signs; the one before is kept for verifying only. Raises KeyFileError."""
    path = seal_key_path(settings)
    before = seal_keys(settings)
    assert before.key_id
    try:
        private_file.replace(path, f"seal {secrets.token_hex(32)}\n{before.told()}")
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    return read_seal_keys(path)


def _keys(lines: Iterable[tuple[str, str]]) -> SealKeys:
    signing: Ed25519PrivateKey | None = None
    public: dict[str, bytes] = {}
    for kind, digits in lines:
        raw = bytes.fromhex(digits)
        if kind == "seal":
            signing = Ed25519PrivateKey.from_private_bytes(raw)
            raw = _raw(signing)
        public[key_id_of(raw)] = raw
    return SealKeys(signing, public)


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
