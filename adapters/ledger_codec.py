"""How the ledgers of this shop write events and read them."""

from typing import Final

from adapters.event_codec import decode, encode_all
from orchestrator.ledger import Codec

CODEC: Final = Codec(encode_all, decode)
