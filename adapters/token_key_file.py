"""Where the key that signs access tokens lies: named by a setting, or made under the data folder."""

from pathlib import Path

from adapters.paseto_key import SigningKey, load_key
from adapters.settings import Settings


def token_key(settings: Settings) -> SigningKey:
    """The key that signs access tokens. Raises KeyFileError."""
    path = settings.token_key_file
    return load_key(path or _own(settings, "token.key"), create=path is None)


def _own(settings: Settings, name: str) -> Path:
    return settings.data / "keys" / name
