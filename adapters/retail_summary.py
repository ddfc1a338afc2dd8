"""The end of a load in words and numbers that someone new to the shop understands."""

from rich.table import Table

from adapters.retail_result import LoadResult


def summary(result: LoadResult, *, currency: str, audit_verdict: str) -> Table:
    """A table of two columns. `currency`: the shop's code, `audit_verdict`: a few words such as "clean"."""
    table = Table(title="What was sold", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for name, value in _rows(result, currency, audit_verdict):
        table.add_row(name, value)
    return table


def money(minor_units: int, currency: str) -> str:
    """7978087 -> "CNY 79,780.87"."""
    sign = "-" if minor_units < 0 else ""
    whole, part = divmod(abs(minor_units), 100)
    return f"{currency} {sign}{whole:,}.{part:02d}"


def _rows(result: LoadResult, currency: str, audit_verdict: str) -> list[tuple[str, str]]:
    return [
        ("Orders, all paid", f"{result.orders:,} of {result.file_orders:,} in the file"),
        ("Order lines", f"{result.lines:,} ({result.units:,} units of {result.goods:,} goods)"),
        ("Shoppers", f"{result.users:,}"),
        ("Revenue", f"{money(result.revenue_pence, currency)}, {_against_file(result, currency)}"),
        ("Speed", f"{result.orders_per_s:,.0f} orders/s, {result.seconds:,.1f} s in all{_again(result)}"),
        ("Placing an order", _placing(result)),
        (
            "Stock left",
            "none, every unit was sold" if not result.stock_left else f"{result.stock_left:,} units",
        ),
        (
            "One more order",
            "refused: sold out" if result.refused_as_short else "NOT refused, though sold out",
        ),
        ("Audit", audit_verdict),
    ]


def _against_file(result: LoadResult, currency: str) -> str:
    difference = result.revenue_pence - result.file_revenue_pence
    if not difference:
        return "equal to the file to the penny"
    more_or_less = "more" if difference > 0 else "less"
    return f"{money(abs(difference), currency)} {more_or_less} than the file"


def _again(result: LoadResult) -> str:
    return f", {result.replayed:,} placed by an earlier run" if result.replayed else ""


def _placing(result: LoadResult) -> str:
    if not result.place_p50_ms:
        return "no new order"
    return f"half within {result.place_p50_ms:,.1f} ms (p50), 99 % within {result.place_p99_ms:,.1f} ms (p99)"
