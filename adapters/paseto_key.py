"""The Ed25519 key that signs access tokens, and the file it is kept in."""

import os
from dataclasses import dataclass
from pathlib import Path

import pyseto
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyseto import Key
from pyseto.key_interface import KeyInterface

MODE = 0o600
"""Only the owner of the process reads a key file."""


class KeyFileError(Exception):
    """The key file is missing or not usable; the message says which file, and why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`key_id`: the PASERK id of the public half, which stands in the footer of every token."""

    key: KeyInterface
    key_id: str


def generate() -> SigningKey:
    return _signing_key(_new_pem().decode())


def load_key(path: Path, *, create: bool = False) -> SigningKey:
    """Reads a PEM or PASERK (`k4.secret.`) key; makes the file when there is none and `create` is set.

    Safe when two processes start at once: the one that comes second reads what the first has made.
    Raises KeyFileError.
    """
    try:
        if create and not path.exists():
            _create(path)
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path}: others can read this key; run: chmod 600 {path}")
        return _signing_key(path.read_text("ascii"))
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except (pyseto.PysetoError, ValueError) as error:
        # The library's words may quote the key.
        raise KeyFileError(f"{path}: not an Ed25519 private key in PEM or PASERK form") from error


def _signing_key(text: str) -> SigningKey:
    text = text.strip()
    is_paserk = text.startswith("k4.")
    key = Key.from_paserk(text) if is_paserk else Key.new(version=4, purpose="public", key=text)
    key_id = key.to_peer_paserk_id()
    if not key_id:
        raise ValueError("a public key cannot sign")
    return SigningKey(key, key_id)


def _new_pem() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _create(path: Path) -> None:
    """Written whole under another name first, then linked: nobody ever reads half a key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as file:
        file.write(_new_pem())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
