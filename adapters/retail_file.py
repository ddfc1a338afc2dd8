"""Reads a retail file, checks every row of it, and gives the plan of its load.

Nothing is sent before the whole file has been found good, so a bad row on the last line costs no books.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.resources import files
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import IO, Generic, NamedTuple, TypeVar, cast

from adapters.retail_plan import PlanDraft, RetailGoods, RetailOrder, RetailPlan, SoldLine
from domain.limits import MAX_AMOUNT, MAX_LINES, MAX_NUMS, MAX_PRICE, MAX_STOCK

COLUMNS = (
    "invoice",
    "kind",
    "stock_code",
    "description",
    "quantity",
    "unit_price_pence",
    "customer_id",
    "country",
    "invoiced_at",
)
LINE_LIMIT = 1 << 20
"""Bytes of one line: a file without line ends must not be read into memory whole."""

_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"
_SHOWN_CHARACTERS = 40
_SHOWN_HEADER = 200
_NUMBER = re.compile(r"-?[0-9]{1,19}")

T = TypeVar("T")


class RetailFileError(Exception):
    """One line: the file, where in it, what was found and what was expected."""


class _BadLine(Exception):
    """What is wrong with a line; `read_retail` adds the file and the line number."""


class _BadCell(Exception):
    """As `_BadLine`, beginning with the name of the column."""


class _Checked(dict[str, T], Generic[T]):
    """Cells of one column and their values. A cell text is checked once; most of them repeat."""

    def __init__(self, column: str, expected: str, value: Callable[[str], T]) -> None:
        super().__init__()
        self._column, self._expected, self._value = column, expected, value

    def __missing__(self, cell: str) -> T:
        try:
            value = self[cell] = self._value(cell)
        except ValueError:
            found = f"found {_shown(cell)}, expected {self._expected}"
            raise _BadCell(f"{self._column}: {found}") from None
        return value


class _Columns(NamedTuple):
    invoice: _Checked[str]
    kind: _Checked[bool]
    stock_code: _Checked[str]
    quantity: _Checked[int]
    unit_price_pence: _Checked[int]
    invoiced_at: _Checked[datetime]


class _Lines:
    """Lines of text with their number, counted here so that any error can name the line it came from."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while raw := self._stream.readline(LINE_LIMIT):
            self.number += 1
            if len(raw) == LINE_LIMIT:
                raise _BadLine(f"found a line of {LINE_LIMIT:,} bytes or more, expected rows of csv text")
            text = (raw.removeprefix(_BOM) if self.number == 1 else raw).decode()
            if "\0" in text:
                raise _BadLine("found a NUL byte, expected csv text")
            yield text


def slice_path() -> Path:
    """The slice of the retail data that ships with Tillroll; see `data/ATTRIBUTION.md`."""
    return Path(str(files("adapters").joinpath("data", "retail_slice.csv.gz")))


def read_retail(path: Path) -> RetailPlan:
    """The plan for a csv or csv.gz file. Raises RetailFileError; a file with one bad row gives no plan."""
    try:
        with path.open("rb") as file:
            plan = _planned(path, _Lines(_unpacked(file)))
    except OSError as error:
        raise RetailFileError(f"{path}: {_unreadable(error)}, expected a csv or csv.gz file") from None
    if fault := _fault(plan):
        raise RetailFileError(f"{path}: {fault}")
    return plan


def _planned(path: Path, lines: _Lines) -> RetailPlan:
    try:
        return _plan(lines)
    except EOFError:
        found = "the gzip data ends too early (truncated), expected a whole gzip file"
    except (gzip.BadGzipFile, zlib.error) as error:
        found = f"the gzip data is corrupted ({error}), expected a whole gzip file"
    except UnicodeDecodeError as error:
        found = f"found byte 0x{error.object[error.start]:02x}, expected UTF-8 text"
    except csv.Error as error:
        found = f"found text that is not csv ({error})"
    except _BadCell as error:
        raise RetailFileError(f"{path}: line {lines.number}, column {error}") from None
    except _BadLine as error:
        found = str(error)
    where = f"line {lines.number}: " if lines.number else ""
    raise RetailFileError(f"{path}: {where}{found}")


def _unreadable(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "no such file"
        case IsADirectoryError():
            return "is a folder"
        case _:
            return f"cannot be read ({error.strerror or error})"


def _unpacked(file: io.BufferedReader) -> IO[bytes]:
    """The text of the file. Its first bytes tell what it is: a name can lie, or be missing for a pipe."""
    if not file.peek(2).startswith(_GZIP_MAGIC):
        return file
    return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=file)), LINE_LIMIT)


def _plan(lines: _Lines) -> RetailPlan:
    rows = csv.reader(iter(lines), strict=True)
    header = next((row for row in rows if row), None)
    if header is None:
        raise _BadLine(f"the file is empty, expected a header naming {', '.join(COLUMNS)}")
    pick, width = _columns_of(header), len(header)
    columns, draft = _columns(), PlanDraft()
    for row in rows:
        if len(row) == width:
            if (line := _sold_line(pick(row), columns)) is not None:
                draft.add(line)
        elif row:
            raise _BadLine(f"found {len(row)} cells, expected {width} as in the header")
    return draft.plan()


def _columns_of(header: list[str]) -> Callable[[list[str]], tuple[str, ...]]:
    names = [name.strip().lower() for name in header]
    if missing := [name for name in COLUMNS if name not in names]:
        there = ", ".join(name or "(no name)" for name in names)[:_SHOWN_HEADER]
        raise _BadLine(f"the header has no column {', '.join(missing)}; it has {there}")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise _BadLine(f"the header has column {', '.join(twice)} more than once")
    return itemgetter(*(names.index(name) for name in COLUMNS))


def _sold_line(cells: tuple[str, ...], columns: _Columns) -> SoldLine | None:
    """The row when it sold something: the rule of the retail data's own totals, cell by cell."""
    invoice, kind, stock_code, description, quantity, price, customer_id, country, invoiced_at = cells
    invoice = columns.invoice[invoice]
    is_sale = columns.kind[kind]
    stock_code = columns.stock_code[stock_code]
    units = columns.quantity[quantity]
    pence = columns.unit_price_pence[price]
    columns.invoiced_at[invoiced_at]
    if not is_sale or units <= 0 or pence <= 0 or invoice.startswith("A"):
        return None
    return SoldLine(
        invoice, stock_code, description.strip(), units, pence, customer_id.strip(), country.strip()
    )


def _columns() -> _Columns:
    units = f"a whole number of units, at most {MAX_NUMS:,} either way"
    pence = f"a whole number of pence, at most {MAX_PRICE:,} either way"
    moment = "a date and time like 2011-03-01T08:30:00"
    return _Columns(
        invoice=_Checked("invoice", "an invoice number", _word),
        kind=_Checked("kind", "sale or cancellation", _is_sale),
        stock_code=_Checked("stock_code", "a stock code", _word),
        quantity=_Checked("quantity", units, lambda cell: _whole(cell, MAX_NUMS)),
        unit_price_pence=_Checked("unit_price_pence", pence, lambda cell: _whole(cell, MAX_PRICE)),
        invoiced_at=_Checked("invoiced_at", moment, lambda cell: datetime.fromisoformat(cell.strip())),
    )


def _word(cell: str) -> str:
    if not (word := cell.strip()):
        raise ValueError
    return word


def _is_sale(cell: str) -> bool:
    kind = cell.strip()
    if kind not in ("sale", "cancellation"):
        raise ValueError
    return kind == "sale"


def _whole(cell: str, limit: int) -> int:
    if not _NUMBER.fullmatch(cell.strip()) or abs(number := int(cell)) > limit:
        raise ValueError
    return number


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= _SHOWN_CHARACTERS else cell[:_SHOWN_CHARACTERS] + "...")


def _fault(plan: RetailPlan) -> str:
    """Why the shop cannot take the plan, as text; empty when it can. Asked before anything is sent."""
    if not plan.orders:
        return "found no sold line: kind sale, quantity and price over 0, invoice not starting with A"
    faults = chain(map(_order_fault, plan.orders), map(_goods_fault, plan.goods))
    return next(filter(None, faults), "")


def _order_fault(order: RetailOrder) -> str:
    size, units = len(order.lines), max(nums for _, nums in order.lines)
    if size > MAX_LINES:
        return f"invoice {order.invoice}: found {size:,} different goods, expected at most {MAX_LINES:,}"
    if units > MAX_NUMS:
        return f"invoice {order.invoice}: found {units:,} units of one goods, expected at most {MAX_NUMS:,}"
    if order.amount_pence > MAX_AMOUNT:
        return f"invoice {order.invoice}: found {order.amount_pence:,} pence, expected at most {MAX_AMOUNT:,}"
    return ""


def _goods_fault(goods: RetailGoods) -> str:
    if goods.units > MAX_STOCK:
        return f"goods {goods.name!r}: found {goods.units:,} units sold, expected at most {MAX_STOCK:,}"
    return ""
