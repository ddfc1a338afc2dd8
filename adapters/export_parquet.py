"""Apache Parquet: typed columns, compressed, in row groups. Loaded by name, only when it is asked for."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from adapters.export_rows import Row

COMPRESSION: Final = "zstd"

_TEXT, _NUMBER, _TIME = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")

_TYPES: Final[dict[str, Any]] = {
    "position": _NUMBER,
    "version": _NUMBER,
    "at": _TIME,
    "user_id": _NUMBER,
    "goods_id": _NUMBER,
    "nums": _NUMBER,
    "amount": _NUMBER,
    "on_hand": _NUMBER,
}
_CAN_BE_NULL: Final = frozenset({"order_id", "user_id", "goods_id", "nums", "amount", "on_hand"})

SCHEMA: Final = pa.schema(
    [pa.field(name, _TYPES.get(name, _TEXT), nullable=name in _CAN_BE_NULL) for name in Row._fields]
)


class Parquet:
    """Implements adapters.export_files.Writer: each write is a row group."""

    def __init__(self, file: Path) -> None:
        """Raises OSError."""
        self._file = file.open("wb")
        self._writer = pq.ParquetWriter(self._file, SCHEMA, compression=COMPRESSION)

    def write(self, rows: Sequence[Row]) -> None:
        columns = [
            pa.array(column, field.type)
            for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=len(rows))

    def close(self) -> None:
        with self._file:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
