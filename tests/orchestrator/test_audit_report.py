"""What a report keeps, counts and puts first."""

from orchestrator.audit import MAX_KEPT_FINDINGS, Finding, Tally


def finding(check: str, number: int = 1) -> Finding:
    return Finding(check, f"order {number}", number, "wrong", "order")


def test_all_findings_are_counted_and_the_first_are_kept() -> None:
    tally = Tally()
    tally.add(finding("sales", number) for number in range(MAX_KEPT_FINDINGS + 5))
    tally.checked("sales", "?", 9, "sales")
    report = tally.report({}, [])
    assert report.found == MAX_KEPT_FINDINGS + 5
    assert report.checks[0].findings == report.found
    assert report.findings == tuple(finding("sales", number) for number in range(MAX_KEPT_FINDINGS))
    assert not report.is_clean


def test_findings_come_in_the_order_of_their_checks() -> None:
    tally = Tally()
    tally.add([finding("read model goods"), finding("stock")])
    for check in ("stock", "orders", "read model goods"):
        tally.checked(check, "?", 1, "rows")
    report = tally.report({"order": 1}, [])
    assert [found.check for found in report.findings] == ["stock", "read model goods"]
    assert [checked.findings for checked in report.checks] == [1, 0, 1]
