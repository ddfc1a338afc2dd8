"""Money and durations as a person reads them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

MINOR_DIGITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}
"""Digits of the minor unit by currency (ISO 4217, list one); all others have two."""

_UNITS: Final = ((86_400, "day", "days"), (3_600, "h", "h"), (60, "min", "min"), (1, "s", "s"))


def money(minor_units: int, currency: str) -> str:
    """`CNY 8.49`; `JPY 849`, which has no smaller coin."""
    digits = MINOR_DIGITS.get(currency, 2)
    whole, part = divmod(abs(minor_units), 10**digits)
    sign = "-" if minor_units < 0 else ""
    return f"{currency} {sign}{whole:,}" + (f".{part:0{digits}}" if digits else "")


def lasted(seconds: float) -> str:
    """`12 ms`, `3.2 s`, `4 min 5 s`, `2 days 3 h`: two units are enough to act on."""
    if seconds < 1:
        return f"{max(0.0, seconds) * 1_000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for number, (size, one, many) in enumerate(_UNITS):
        if whole >= size:
            count, rest = divmod(whole, size)
            words = f"{count} {one if count == 1 else many}"
            if number + 1 == len(_UNITS):
                return words
            smaller, _, name = _UNITS[number + 1]
            return words + (f" {rest // smaller} {name}" if rest // smaller else "")
    raise AssertionError("one second is the smallest unit")


def clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def harmless(text: str) -> str:
    """A stranger's words must not steer the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
