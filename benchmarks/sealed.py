"""Texts as long as sealed personal data, and as hard to compress. No key opens them."""

from base64 import urlsafe_b64encode
from random import Random
from typing import Final

from adapters.sealing import PREFIX
from domain.order import Contact

ADDRESS_BYTES: Final = 60
NAME_BYTES: Final = 39
MOBILE_BYTES: Final = 39
POST_BYTES: Final = 36
EMAIL_BYTES: Final = 51
HASH_BYTES: Final = 126
"""Each with 28 bytes of nonce and tag."""


def sealed(rng: Random, size: int) -> str:
    return PREFIX + urlsafe_b64encode(rng.randbytes(size)).decode()


def contact(rng: Random) -> Contact:
    return Contact(
        address=sealed(rng, ADDRESS_BYTES),
        signer_name=sealed(rng, NAME_BYTES),
        signer_mobile=sealed(rng, MOBILE_BYTES),
        post=sealed(rng, POST_BYTES),
    )
