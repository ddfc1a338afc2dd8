"""Sealing: personal data is text that only its person's key can open. Pure; where keys are kept is elsewhere.

    sealed1.<base64url of nonce, ciphertext and tag>        AES-256-GCM (NIST SP 800-38D)

What a sealed text is about (`user-7.email`) is bound to it, so it cannot be shown in another's place. The
data of an order is sealed under a key made from its customer's for that order alone (HKDF-Expand, RFC 5869):
so an erased customer's key can be destroyed while that of an order under way is kept.
"""

import hashlib
import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
PREFIX: Final = "sealed1."


FINGERPRINT_BYTES: Final = 16


class CannotUnseal(Exception):
    """A sealed text or a wrapped key does not fit the key: damaged, moved, or of another key file."""


class PersonKey:
    """The key of one user."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._box = AESGCM(key)

    def seal(self, about: str, text: str) -> str:
        return _seal(self._box, about, text)

    def unseal(self, about: str, sealed: str) -> str:
        """What was recorded before there was sealing is given back as it is. Raises CannotUnseal."""
        return _unseal(self._box, about, sealed)

    def for_order(self, order_id: str) -> "PersonKey":
        return PersonKey(derived(self.key, f"order-{order_id}"))

    def fingerprint(self, request: bytes) -> str:
        """Names a request that may hold personal data; without the key it cannot be guessed from a name."""
        mac = hmac.new(derived(self.key, "fingerprint"), request, hashlib.sha256)
        return mac.hexdigest()[: 2 * FINGERPRINT_BYTES]


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def derived(key: bytes, purpose: str) -> bytes:
    """Another key for another purpose: HKDF-Expand with one block of SHA-256 (RFC 5869, 2.3)."""
    return hmac.digest(key, b"tillroll " + purpose.encode() + b"\x01", "sha256")


def is_sealed(text: str) -> bool:
    return text.startswith(PREFIX)


def _seal(box: AESGCM, about: str, text: str) -> str:
    nonce = os.urandom(NONCE_BYTES)
    return PREFIX + urlsafe_b64encode(nonce + box.encrypt(nonce, text.encode(), about.encode())).decode()


def _unseal(box: AESGCM, about: str, sealed: str) -> str:
    if not is_sealed(sealed):
        return sealed
    try:
        raw = urlsafe_b64decode(sealed[len(PREFIX) :])
        return box.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], about.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise CannotUnseal(f"{about} does not fit its key") from error


# keys that wrap keys


class Wrapping:
    """Wraps persons' keys, so that they are worth nothing to whoever has the database alone.

    `keys`: the first wraps; all of them unwrap. `reload` gives them as they are now: it is asked before
    each wrapping, which is rare, and when one is needed that is not known.
    """

    def __init__(
        self, keys: tuple[bytes, ...], reload: Callable[[], tuple[bytes, ...]] | None = None
    ) -> None:
        self._keys = _named(keys)
        self._reload = reload

    def wrap(self, about: str, key: bytes) -> str:
        """`about`: whose key it is, such as `user-7`."""
        self._look_again()
        name, box = next(iter(self._keys.items()))
        nonce = os.urandom(NONCE_BYTES)
        return f"{name}.{urlsafe_b64encode(nonce + box.encrypt(nonce, key, about.encode())).decode()}"

    def unwrap(self, about: str, wrapped: str) -> bytes:
        """Raises CannotUnseal, also when the key that wrapped it is in no key file of ours."""
        name, text = wrapped_by(wrapped), wrapped.partition(".")[2]
        if name not in self._keys:
            self._look_again()
        box = self._keys.get(name)
        if box is None:
            raise CannotUnseal(
                f"the key of {about} was wrapped with {name}, which the key file does not have"
            )
        try:
            raw = urlsafe_b64decode(text)
            return box.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError) as error:
            raise CannotUnseal(f"the key of {about} is damaged") from error

    def is_current(self, wrapped: str) -> bool:
        """Whether the key that wraps now has wrapped this."""
        return wrapped_by(wrapped) == self.current

    @property
    def current(self) -> str:
        """The name of the key that wraps."""
        return next(iter(self._keys))

    def _look_again(self) -> None:
        if self._reload is not None:
            self._keys = _named(self._reload())


def wrapped_by(wrapped: str) -> str:
    """The name of the key that has wrapped this."""
    return wrapped.partition(".")[0]


def wrapping_name(key: bytes) -> str:
    """A short public name of a wrapping key."""
    return hashlib.sha256(b"tillroll wrapping name " + key).hexdigest()[:8]


def _named(keys: tuple[bytes, ...]) -> dict[str, AESGCM]:
    assert keys, "somebody has to wrap"
    return {wrapping_name(key): AESGCM(key) for key in keys}
