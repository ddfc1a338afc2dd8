"""The audit's report as a page."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.audit_html import more_about, page_of, write_page
from adapters.audit_run import CannotAudit
from orchestrator.audit import Finding, Report, Tally, Unfinished

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def report(*findings: Finding) -> Report:
    tally = Tally()
    tally.add(findings)
    tally.checked("sales", "Every sale?", 1234, "sales")
    return tally.report({"order": 12}, [Unfinished("9", "SELLING", NOW)])


def test_the_verdict_comes_first_and_what_was_written_is_escaped() -> None:
    page = page_of(report(Finding("sales", "order 7", 3, "<script>alert(1)</script>", "inventory")), NOW)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.index("THE BOOKS DO NOT BALANCE") < page.index("What is wrong") < page.index("Every sale?")
    for said in ("inventory=3", "tillroll replay order 7", "1,234 sales", "tillroll replay order 9"):
        assert said in page


def test_a_page_of_clean_books_has_no_findings_and_asks_nobody_for_anything() -> None:
    page = page_of(report(), NOW)
    assert "The books balance" in page
    assert "What is wrong" not in page
    assert not any(asks in page for asks in ("http:", "https:", "src=", "url("))


def test_a_page_says_where_it_continued_and_how_to_continue_it() -> None:
    continued = replace(report(), since={"order": 1_011}, next_since="order=1012")
    page = page_of(continued, NOW)
    assert "after position 1,011, up to position 12" in page
    assert "tillroll audit --since order=1012" in page
    assert "after order=1011, no findings" in page
    assert "after position" not in page_of(report(), NOW)


@pytest.mark.parametrize(
    ("subject", "more"),
    [
        ("order 7", "tillroll replay order 7"),
        ("goods 12", "tillroll replay stock 12"),
        ("sale-7", "tillroll replay stream sale-7"),
        ("goods id=99", ""),
        ("order_info order_id=1", ""),
    ],
)
def test_a_finding_names_the_command_that_shows_more(subject: str, more: str) -> None:
    assert more_about(Finding("sales", subject, 1, "wrong", "order")) == more


def test_a_page_is_written_over_and_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    file = tmp_path / "audit.html"
    for _ in range(2):
        write_page(file, report(), NOW)
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(CannotAudit, match="Is a directory"):
        write_page(tmp_path, report(), NOW)
