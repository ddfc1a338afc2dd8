"""The audit's report as a page that needs nothing else: no script, no font, no picture from elsewhere."""

from datetime import datetime
from pathlib import Path

from adapters.audit_run import CannotAudit, verdict_line
from adapters.templates_of import template
from orchestrator.audit import Finding, Report


def write_page(file: Path, report: Report, now: datetime) -> None:
    """A file that is there is written over. Raises CannotAudit for one that cannot be written."""
    try:
        file.write_text(page_of(report, now), encoding="utf-8")
    except OSError as error:
        raise CannotAudit(f"{file}: {error.strerror}") from error


def page_of(report: Report, now: datetime) -> str:
    return template("audit.html.j2").render(
        report=report,
        verdict=verdict_line(report),
        at=f"{now:%Y-%m-%d %H:%M:%S} UTC",
        findings=[(finding, more_about(finding)) for finding in report.findings],
    )


def more_about(finding: Finding) -> str:
    """The command that shows more; empty where there is none, as for a row of a read model."""
    kind, _, name = finding.subject.partition(" ")
    if kind == "order" and name:
        return f"tillroll replay order {name}"
    if kind == "goods" and name.isdecimal():
        return f"tillroll replay stock {name}"
    if kind == "stream":
        return f"tillroll replay stream {name}"
    return f"tillroll replay stream {kind}" if "-" in kind and not name else ""
