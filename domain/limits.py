"""Every number that bounds a value of the domain, in one place."""

MAX_LINES = 2_000
"""Lines in one cart, and so in one order."""

MAX_NUMS = 2**31 - 1
"""Units of one goods in one line."""

MAX_REASON_CHARS = 500
"""Of why an operator retries or compensates a saga."""

MAX_STOCK = 2**53 - 1
"""Units of one goods on hand: exact in every JSON reader."""

MAX_PRICE = 2**53 - 1
"""Minor units of the shop's currency for one unit of goods."""

MAX_AMOUNT = 2**63 - 1
"""Minor units of one order: what a signed 64-bit column holds."""
