"""Values: dataclasses that nobody changes once they are made.

They are written as `@dataclass(frozen=True, slots=True)`, and the type checker holds everybody to it. At run
time they are plain ones: as Python freezes them, an order's two dozen values take five times as long to make,
which is a twentieth of all that an order costs.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        assert frozen, "a value is not changed"
        return dataclasses.dataclass(slots=slots, unsafe_hash=True)


__all__ = ["dataclass"]
