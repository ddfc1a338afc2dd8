"""A retail file gives one plan, or one line that says where it is wrong and what was expected."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import retail_file
from adapters.retail_file import COLUMNS, RetailFileError, read_retail, slice_path
from adapters.retail_plan import PlanDraft, RetailPlan, SoldLine, first_orders, shopper_of

HEADER = ",".join(COLUMNS)
MUG = "1001,sale,A1,MUG,2,150,77,France,2011-03-01T08:30:00"
BAG = "1001,sale,B2,BAG,1,300,77,France,2011-03-01T08:30:00"
GUEST = "1002,sale,A1,MUG,3,150,,France,2011-03-01T08:31:00"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "retail.csv"


def plan_of(file: Path, *rows: str, header: str = HEADER, line_end: str = "\n") -> RetailPlan:
    file.write_bytes(line_end.join([header, *rows, ""]).encode())
    return read_retail(file)


def complaint(file: Path) -> str:
    with pytest.raises(RetailFileError) as refused:
        read_retail(file)
    text = str(refused.value)
    assert "\n" not in text
    assert text.startswith(f"{file}: ")
    return text.removeprefix(f"{file}: ")


def complaint_about(file: Path, *rows: str, header: str = HEADER) -> str:
    file.write_text("\n".join([header, *rows, ""]))
    return complaint(file)


def row(**cells: str) -> str:
    return ",".join((dict(zip(COLUMNS, MUG.split(","), strict=True)) | cells).values())


# good files


def test_orders_goods_and_shoppers_come_in_the_order_of_the_file(file: Path) -> None:
    plan = plan_of(file, MUG, BAG, GUEST)
    assert [(goods.name, goods.unit_price_pence, goods.units) for goods in plan.goods] == [
        ("A1 MUG", 150, 5),
        ("B2 BAG", 300, 1),
    ]
    assert [shopper.email for shopper in plan.shoppers] == [
        "customer-77@retail.example",
        "guest-france@retail.example",
    ]
    assert [(o.invoice, o.shopper, o.lines, o.amount_pence) for o in plan.orders] == [
        ("1001", 0, ((0, 2), (1, 1)), 600),
        ("1002", 1, ((0, 3),), 450),
    ]
    assert (plan.lines, plan.units, plan.revenue_pence) == (3, 6, 1050)


def test_lines_of_one_goods_are_folded_and_another_price_is_other_goods(file: Path) -> None:
    plan = plan_of(file, MUG, MUG, row(unit_price_pence="175"))
    assert plan.orders[0].lines == ((0, 4), (1, 2))


def test_goods_take_the_first_description_there_is(file: Path) -> None:
    plan = plan_of(file, row(description=" "), row(description="CUP"), row(description="MUG"))
    assert plan.goods[0].name == "A1 CUP"


def test_a_name_too_long_for_the_shop_is_cut(file: Path) -> None:
    plan = plan_of(file, row(description="X" * 300))
    assert len(plan.goods[0].name) == 200


def test_a_name_over_two_lines_becomes_one(file: Path) -> None:
    assert plan_of(file, row(description='"MUG\r\nBLUE"')).goods[0].name == "A1 MUG BLUE"


@pytest.mark.parametrize(
    "unsold",
    [
        row(kind="cancellation", quantity="-2"),
        row(quantity="0"),
        row(quantity="-5"),
        row(unit_price_pence="0"),
        row(unit_price_pence="-100"),
        row(invoice="A1001"),
    ],
)
def test_what_was_not_sold_is_left_out(file: Path, unsold: str) -> None:
    assert plan_of(file, unsold, GUEST).orders == plan_of(file, GUEST).orders


def test_an_invoice_belongs_to_the_shopper_of_its_first_sold_line(file: Path) -> None:
    plan = plan_of(file, row(customer_id="5", quantity="0"), row(customer_id="6"), row(customer_id="7"))
    assert [shopper.email for shopper in plan.shoppers] == ["customer-6@retail.example"]


def test_a_customer_seen_in_two_countries_is_one_shopper(file: Path) -> None:
    plan = plan_of(file, MUG, row(invoice="1003", country="Spain"))
    assert [order.shopper for order in plan.orders] == [0, 0]
    assert len(plan.shoppers) == 1


def test_columns_are_found_by_name_in_any_order_among_others(file: Path) -> None:
    cells = [MUG.split(",")[COLUMNS.index(name)] for name in reversed(COLUMNS)]
    header = ",".join(["note", *(name.upper() + " " for name in reversed(COLUMNS))])
    turned = plan_of(file, ",".join(["x", *cells]), header=header)
    assert turned == plan_of(file, MUG)


def test_line_ends_blank_lines_and_a_byte_order_mark_do_not_matter(file: Path) -> None:
    assert plan_of(file, MUG, "", GUEST, "", header="\ufeff" + HEADER, line_end="\r\n") == plan_of(
        file, MUG, GUEST
    )


def test_the_same_lines_are_the_same_load_packed_or_not_whatever_the_name(file: Path, tmp_path: Path) -> None:
    plain = plan_of(file, MUG, GUEST)
    packed = tmp_path / "no-suffix"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert read_retail(packed) == plain


def test_other_lines_are_another_load(file: Path) -> None:
    ids = {plan_of(file, *rows).plan_id for rows in ([MUG], [GUEST], [MUG, GUEST], [GUEST, MUG])}
    assert len(ids) == 4


def test_the_slice_that_ships_has_its_known_totals() -> None:
    plan = read_retail(slice_path())
    assert (len(plan.orders), plan.lines, plan.units) == (1_500, 38_990, 487_912)
    assert plan.revenue_pence == 90_582_090
    assert (len(plan.goods), len(plan.shoppers)) == (5_795, 449)
    assert max(len(order.lines) for order in plan.orders) == 450
    assert slice_path().stat().st_size < 700_000
    assert "CC BY 4.0" in slice_path().with_name("ATTRIBUTION.md").read_text()


# cutting


def test_the_first_orders_are_a_load_of_their_own_with_just_their_stock(file: Path) -> None:
    whole = plan_of(file, GUEST, MUG, BAG)
    cut = first_orders(whole, 1)
    assert [(goods.name, goods.units) for goods in cut.goods] == [("A1 MUG", 3)]
    assert [shopper.email for shopper in cut.shoppers] == ["guest-france@retail.example"]
    assert (cut.orders, cut.revenue_pence) == (whole.orders[:1], 450)
    assert cut.plan_id != whole.plan_id


def test_more_orders_than_there_are_is_the_whole(file: Path) -> None:
    whole = plan_of(file, GUEST, MUG)
    assert first_orders(whole, 3) is whole


# bad files


def test_no_file(file: Path) -> None:
    assert complaint(file) == "no such file, expected a csv or csv.gz file"


def test_a_folder(tmp_path: Path) -> None:
    assert complaint(tmp_path) == "is a folder, expected a csv or csv.gz file"


def test_a_path_through_a_file(file: Path) -> None:
    file.write_text(HEADER)
    assert complaint(file / "x") == "cannot be read (Not a directory), expected a csv or csv.gz file"


@pytest.mark.parametrize("content", [b"", b"\n\r\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert complaint(file).endswith(f"the file is empty, expected a header naming {', '.join(COLUMNS)}")


def test_missing_columns_are_named_beside_those_that_are_there(file: Path) -> None:
    assert complaint_about(file, header="invoice;kind") == (
        f"line 1: the header has no column {', '.join(COLUMNS)}; it has invoice;kind"
    )
    without = HEADER.replace("quantity,", "").replace(",country", ",")
    assert complaint_about(file, header=without) == (
        "line 1: the header has no column quantity, country; it has invoice, kind, stock_code, "
        "description, unit_price_pence, customer_id, (no name), invoiced_at"
    )


def test_a_column_there_twice(file: Path) -> None:
    header = HEADER + ",kind"
    assert complaint_about(file, header=header) == "line 1: the header has column kind more than once"


UNITS = "expected a whole number of units, at most 2,147,483,647 either way"
PENCE = "expected a whole number of pence, at most 9,007,199,254,740,991 either way"
MOMENT = "expected a date and time like 2011-03-01T08:30:00"


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("quantity", "two", UNITS),
        ("quantity", "", UNITS),
        ("quantity", "1.5", UNITS),
        ("quantity", "1_000", UNITS),
        ("quantity", "２", UNITS),
        ("quantity", "2147483648", UNITS),
        ("quantity", "-2147483648", UNITS),
        ("unit_price_pence", "1.50", PENCE),
        ("unit_price_pence", "nan", PENCE),
        ("unit_price_pence", "9007199254740992", PENCE),
        ("unit_price_pence", "9223372036854775808", PENCE),
        ("invoiced_at", "yesterday", MOMENT),
        ("invoiced_at", "2011-02-30T08:30:00", MOMENT),
        ("invoiced_at", "", MOMENT),
        ("kind", "refund", "expected sale or cancellation"),
        ("kind", "SALE", "expected sale or cancellation"),
        ("invoice", " ", "expected an invoice number"),
        ("stock_code", "", "expected a stock code"),
    ],
)
def test_a_bad_cell(file: Path, column: str, cell: str, expected: str) -> None:
    bad = row(**{column: cell})
    assert complaint_about(file, MUG, bad, GUEST) == f"line 3, column {column}: found {cell!r}, {expected}"


def test_a_bad_cell_counts_also_where_nothing_was_sold(file: Path) -> None:
    bad = row(kind="cancellation", unit_price_pence="?")
    assert complaint_about(file, MUG, bad) == f"line 3, column unit_price_pence: found '?', {PENCE}"


def test_a_very_long_bad_cell_is_shown_in_part(file: Path) -> None:
    said = complaint_about(file, row(quantity="9" * 5_000))
    assert said == f"line 2, column quantity: found '{'9' * 40}...', {UNITS}"


@pytest.mark.parametrize(("cells", "count"), [("1001,sale", 2), (MUG + ",more", 10)])
def test_a_row_of_another_width_than_the_header(file: Path, cells: str, count: int) -> None:
    assert complaint_about(file, MUG, cells) == f"line 3: found {count} cells, expected 9 as in the header"


def test_a_quote_that_never_closes(file: Path) -> None:
    said = complaint_about(file, MUG, row(description='"MUG'))
    assert said == "line 3: found text that is not csv (unexpected end of data)"


def test_a_nul_byte(file: Path) -> None:
    assert complaint_about(file, MUG, "\0") == "line 3: found a NUL byte, expected csv text"


def test_text_that_is_not_utf_8(file: Path) -> None:
    file.write_bytes(f"{HEADER}\n{MUG}\n{row(description='CAFÉ')}\n".encode("latin-1"))
    assert complaint(file) == "line 3: found byte 0xc9, expected UTF-8 text"
    file.write_bytes(f"{HEADER}\n{MUG}\n".encode("utf-16"))
    assert complaint(file) == "line 1: found byte 0xff, expected UTF-8 text"


def test_a_line_without_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retail_file, "LINE_LIMIT", 1_000)
    said = complaint_about(file, MUG, "x" * 2_000)
    assert said == "line 3: found a line of 1,000 bytes or more, expected rows of csv text"


def packed(lines: int = 5_000) -> bytes:
    rows = (row(invoice=str(1_000 + n), customer_id=str(n * 7919 % 5_003)) for n in range(lines))
    return gzip.compress("\n".join([HEADER, *rows]).encode())


@pytest.mark.parametrize("kept", [3, 30, 5_000, -9, -1])
def test_truncated_gzip(file: Path, kept: int) -> None:
    file.write_bytes(packed()[:kept])
    said = complaint(file)
    assert said.endswith("the gzip data ends too early (truncated), expected a whole gzip file")


def test_corrupted_gzip_data(file: Path) -> None:
    data = bytearray(packed())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    said = complaint(file)
    assert "the gzip data is corrupted (" in said
    assert said.endswith("), expected a whole gzip file")


def test_a_wrong_checksum_at_the_end(file: Path) -> None:
    data = bytearray(packed())
    data[-5] ^= 0xFF
    file.write_bytes(data)
    assert "the gzip data is corrupted (CRC check failed" in complaint(file)


def test_bytes_after_the_gzip_data(file: Path) -> None:
    file.write_bytes(packed() + b"junk")
    assert "the gzip data is corrupted (Not a gzipped file (b'ju'))" in complaint(file)


def test_nothing_sold(file: Path) -> None:
    said = complaint_about(file, row(kind="cancellation", quantity="-1"))
    assert said == "found no sold line: kind sale, quantity and price over 0, invoice not starting with A"
    assert complaint_about(file) == said


def test_an_invoice_of_more_goods_than_an_order_takes(file: Path) -> None:
    rows = [row(stock_code=f"S{n}") for n in range(2_001)]
    assert complaint_about(file, *rows) == "invoice 1001: found 2,001 different goods, expected at most 2,000"


def test_more_units_of_one_goods_than_a_line_takes(file: Path) -> None:
    most = row(quantity="2147483647")
    assert complaint_about(file, most, MUG) == (
        "invoice 1001: found 2,147,483,649 units of one goods, expected at most 2,147,483,647"
    )


def test_an_amount_that_no_order_can_have(file: Path) -> None:
    dear = row(quantity="2000", unit_price_pence="9007199254740991")
    assert complaint_about(file, dear) == (
        "invoice 1001: found 18,014,398,509,481,982,000 pence, expected at most 9,223,372,036,854,775,807"
    )


# laws

CODES = st.sampled_from(["A1", "B2", "C3"])
LINES = st.builds(
    SoldLine,
    invoice=st.sampled_from(["1", "2", "3", "4"]),
    stock_code=CODES,
    description=st.sampled_from(["", "MUG", "BAG"]),
    quantity=st.integers(1, 1_000),
    unit_price_pence=st.integers(1, 3),
    customer_id=st.sampled_from(["", "7", "8"]),
    country=st.sampled_from(["France", "EIRE"]),
)


@given(st.lists(LINES, min_size=1))
@settings(deadline=None)
def test_folding_keeps_every_total(lines: list[SoldLine]) -> None:
    draft = PlanDraft()
    for line in lines:
        draft.add(line)
    plan = draft.plan()
    assert plan.units == sum(line.quantity for line in lines)
    assert plan.units == sum(nums for order in plan.orders for _, nums in order.lines)
    assert plan.revenue_pence == sum(line.quantity * line.unit_price_pence for line in lines)
    assert [order.invoice for order in plan.orders] == list(dict.fromkeys(line.invoice for line in lines))
    assert plan.lines == len({(line.invoice, line.stock_code, line.unit_price_pence) for line in lines})
    assert first_orders(plan, 2).revenue_pence == sum(order.amount_pence for order in plan.orders[:2])


@given(st.sets(st.text("aA bB-é.", max_size=4), min_size=2))
@settings(deadline=None)
def test_two_shoppers_never_share_an_email(names: set[str]) -> None:
    guests = {shopper_of("", name).email for name in names}
    customers = {shopper_of(name, "France").email for name in names if name}
    assert len(guests) == len({name or "Unspecified" for name in names})
    assert len(customers) == len({name for name in names if name})
    assert not guests & customers
