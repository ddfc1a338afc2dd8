"""Email addresses: what is accepted, and when two of them are the same."""

import hashlib
import hmac
import re
import unicodedata
from typing import Final

MAX_CHARS: Final = 254
"""RFC 5321, 4.5.3.1.3: the longest address that can be mailed to."""

MAX_LOCAL_CHARS: Final = 64

_LOCAL = re.compile(r"[^\s@\x00-\x20\x7f\"(),:;<>\[\]\\]+")
_DOMAIN = re.compile(r"(?=.{1,253}$)[^\W_](?:[\w-]{0,61}[^\W_])?(?:\.[^\W_](?:[\w-]{0,61}[^\W_])?)*")


def tidy(address: str) -> str:
    """The address as it is kept: trimmed, its domain in lower case. Raises ValueError in plain words."""
    address = unicodedata.normalize("NFC", address.strip())
    local, at, domain = address.rpartition("@")
    well_formed = at and _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain)
    if not well_formed or len(address) > MAX_CHARS or len(local) > MAX_LOCAL_CHARS:
        raise ValueError("must be an email address such as ann@example.com")
    return f"{local}@{domain.lower()}"


def digest(address: str, key: bytes) -> str:
    """Keyed hash of the normalised address: the same for every spelling of one mailbox.

    Never fails, so an address that nobody can have gets the same answer as one that nobody has.
    """
    same = unicodedata.normalize("NFKC", address.strip()).casefold()
    return hmac.new(key, same.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
