"""How the ledgers of this shop write events and read them."""

from typing import Final

from adapters.event_codec import decode, encode
from orchestrator.ledger import Codec

CODEC: Final = Codec(encode, decode)
