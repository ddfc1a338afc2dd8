"""One Ed25519 key that signs access tokens, and its public half that checks them."""

from base64 import urlsafe_b64decode
from dataclasses import dataclass, field

import pyseto
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyseto import Key
from pyseto.key_interface import KeyInterface

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`key_id`: the PASERK id of the public half, which stands in the footer of every token.

    `public` checks what `key` has signed: asked itself, the secret key would derive it for every token.
    """

    key: KeyInterface = field(repr=False)
    public: KeyInterface = field(repr=False)
    key_id: str


def generate() -> SigningKey:
    return parse_key(_new_pem())


def parse_key(text: str) -> SigningKey:
    """Reads a PEM or PASERK (`k4.secret.`) key. Raises ValueError, which never quotes the key."""
    try:
        is_paserk = text.startswith("k4.")
        key = Key.from_paserk(text) if is_paserk else Key.new(version=4, purpose="public", key=text)
        key_id = key.to_peer_paserk_id()
        if not key_id:
            raise ValueError("a public key cannot sign")
        if is_paserk and key.to_paserk() != text:
            raise ValueError("there is more than the key")
        return SigningKey(key, _public_half(key), key_id)
    except (pyseto.PysetoError, ValueError):
        # The library's words may quote the key, and so may what a traceback shows of them.
        raise ValueError("not an Ed25519 private key in PEM or PASERK form") from None


def _public_half(key: KeyInterface) -> KeyInterface:
    """The second half of what a secret key is written as."""
    written = key.to_paserk().removeprefix("k4.secret.")
    return Key.from_asymmetric_key_params(4, x=urlsafe_b64decode(written + "==")[KEY_BYTES:])


def _new_pem() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
