"""`tillroll saga`: which orders wait for something, why, and what an operator does about them."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from adapters.cli_options import settings_with
from adapters.cli_reading import (
    MAX_NUMBER,
    By,
    DataOption,
    JsonOption,
    console,
    is_number,
    login_name,
    print_json,
    table_for,
)
from adapters.data_folder import read_running
from adapters.ids import utc_now
from adapters.saga_desk import (
    Act,
    CannotAct,
    SagaList,
    SagaSeen,
    caller_named,
    checked_reason,
    list_sagas,
    look_at,
    record,
)
from adapters.saga_rows import Item, SagaFilter
from domain.saga import Step
from domain.saga_acts import CompensateSaga, RetrySaga
from domain.saga_timing import STUCK_AFTER_TRIES

DEFAULT_LIMIT: Final = 200
MAX_LIMIT: Final = 100_000
MAX_SECONDS: Final = 10**9
LATE_AFTER_S: Final = 5.0
"""When a try that is overdue for so long says that no orchestrator runs."""

STEPS: Final = tuple(step for step in Step if step is not Step.NEW)

ACTS: Final = {
    "retry": "send it again now, and count tries anew",
    "compensate": "give the order up and its stock back",
}
ENDS: Final = {Step.PAID: "paid", Step.REFUSED: "refused", Step.CLOSED: "closed"}

OrderId = Annotated[str, typer.Argument(metavar="ORDER_ID", help="The order's id.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.")]

app = typer.Typer(no_args_is_help=True, help="Orders under way: what they wait for, and what to do about it.")


def register(parent: typer.Typer) -> None:
    """Adds the commands to the command line."""
    parent.add_typer(app, name="saga")


@app.command("list")
def list_command(
    step: Annotated[str | None, typer.Option(metavar="S", help=", ".join(STEPS))] = None,
    older_than: Annotated[
        int | None,
        typer.Option(
            "--older-than", metavar="SECONDS", min=0, max=MAX_SECONDS, help="In their step for so long."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=MAX_LIMIT, help="At most so many.")
    ] = DEFAULT_LIMIT,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """Sagas that owe something, or those in one step: what is stuck first, then what waits longest."""
    which = SagaFilter(None if step is None else _step(step).value, older_than)
    found = list_sagas(_dsn(data), which, limit)
    if found.behind:
        typer.echo(
            f"tillroll: this list is {found.behind} events behind the order log: does an orchestrator run?",
            err=True,
        )
    if as_json:
        items = [{**saga, "stuck": _is_stuck(saga)} for saga in found.sagas]
        print_json({"items": items, "more": found.more, "behind": found.behind})
    else:
        _show_list(found, which != SagaFilter(None, None), console())


@app.command()
def show(order_id: OrderId, as_json: bool = JsonOption, data: Path | None = DataOption) -> None:
    """One saga: its step, what it owes, tries, the last error, and what can be done now."""
    known = _order_id(order_id)
    _tell(look_at(_dsn(data), known), as_json)


@app.command()
def retry(
    order_id: OrderId,
    reason: Reason,
    by: By = None,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """Send what a saga owes now, without waiting for the end of its pause."""
    _act(RetrySaga(_order_id(order_id), utc_now(), checked_reason(reason)), by, as_json, data)


@app.command()
def compensate(
    order_id: OrderId,
    reason: Reason,
    by: By = None,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """Give an order up that is not paid yet, and its stock back."""
    _act(CompensateSaga(_order_id(order_id), utc_now(), checked_reason(reason)), by, as_json, data)


def _act(act: Act, by: str | None, as_json: bool, data: Path | None) -> None:
    caller, dsn = caller_named(login_name() if by is None else by), _dsn(data)
    # What is not there, or cannot be read, is told at once: the ledger would try again for seconds.
    look_at(dsn, act.order_id)
    position = asyncio.run(record(dsn, act, caller))
    if not as_json:
        done = f"recorded as {caller} at order={position}" if position else "done before, nothing recorded"
        typer.echo(
            f"{type(act).__name__} {done}; an orchestrator, once one runs, sends what is owed within 2 s."
        )
    _tell(look_at(dsn, act.order_id), as_json)


# what was typed


def _dsn(data: Path | None) -> str:
    """The order log's database: as set, else of the running embedded server. Raises NotRunning, CannotAct."""
    settings = settings_with(data)
    dsn = settings.dsn("order") or read_running(settings.data).dsn
    if dsn is None:
        raise CannotAct("the Tillroll here runs no PostgreSQL of its own; set TILLROLL_DSN")
    return dsn


def _order_id(text: str) -> str:
    if not is_number(text):
        raise CannotAct(f"order id {text[:40]!r}: expected a whole number from 1 to {MAX_NUMBER}")
    return str(int(text))


def _step(text: str) -> Step:
    if text.upper() not in STEPS:
        raise CannotAct(f"--step {text!r}: expected one of {', '.join(STEPS)}")
    return Step(text.upper())


# what is printed


def _is_stuck(saga: Item) -> bool:
    return saga["owes"] is not None and saga["tries"] >= STUCK_AFTER_TRIES


def _show_list(found: SagaList, is_filtered: bool, out: Console) -> None:
    sagas = found.sagas
    if not sagas:
        out.print("No saga is as you asked." if is_filtered else "No saga owes anything.")
        return
    table = table_for(out)
    # A terminal of 80 columns has no room for more, and `saga show` tells the rest in words.
    headings = COLUMNS if not out.is_terminal else {name: COLUMNS[name] for name in NARROW}
    for heading in headings:
        table.add_column(heading, justify="right" if heading == "Tries" else "left", no_wrap=True)
    now = utc_now()
    for saga in sagas:
        cells = (Text(cell(saga, now)) for cell in headings.values())
        table.add_row(*cells, style="bold yellow" if _is_stuck(saga) else None)
    out.print(table)
    stuck = sum(map(_is_stuck, sagas))
    means = (
        f", {stuck} stuck: sent again {STUCK_AFTER_TRIES} times or more without an answer" if stuck else ""
    )
    out.print(f"{len(sagas)} shown{means}{'; there are more, --limit shows them' if found.more else ''}.")


def _tell(seen: SagaSeen, as_json: bool) -> None:
    if as_json:
        print_json({**seen.saga, "waits_for": seen.waits_for, "reason": seen.reason, "acts": seen.acts})
        return
    out = console()
    for name, text in _facts(seen, utc_now()):
        out.print(Text.assemble((f"{name:<11}", "dim"), text))


def _facts(seen: SagaSeen, now: datetime) -> list[tuple[str, str]]:
    saga = seen.saga
    order_id, step = saga["order_id"], Step(saga["step"])
    since = f"{_time(saga['since'])} UTC, for {_lasted((now - saga['since']).total_seconds())}"
    facts = [("Order", f"{order_id}   user {seen.user_id}   amount {seen.amount} (minor units)")]
    facts.append(("Step", f"{step} since {since}"))
    if seen.reason is not None:
        facts.append(("Because", seen.reason))
    if seen.waits_for is None:
        return [*facts, ("The end", ENDS[step]), *_story(order_id)]
    facts.append(("Waits for", seen.waits_for))
    facts.append(("Owes", _owes(saga, now)))
    facts.append(("Last error", saga["last_error"] or "none"))
    acts = [(f"tillroll saga {act} {order_id} --reason TEXT: {ACTS[act]}") for act in seen.acts]
    return [*facts, *(("You can", act) for act in acts), *_story(order_id)]


def _owes(saga: Item, now: datetime) -> str:
    due = saga["next_try_at"]
    when = "-" if due is None else f"at {_time(due)} UTC, {_until(due, now)}"
    if saga["owes"] is None:
        return f"nothing now; the watchdog looks again {when}"
    stuck = ", stuck" if _is_stuck(saga) else ""
    return f"{saga['owes']}, sent again {saga['tries']} times{stuck}; next try {when}"


def _story(order_id: str) -> list[tuple[str, str]]:
    return [("Its story", f"tillroll replay order {order_id}")]


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _until(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "-"
    seconds = (at - now).total_seconds()
    if seconds > 0:
        return f"in {_lasted(seconds)}"
    late = f"overdue by {_lasted(-seconds)}: does an orchestrator run?"
    return "due now" if -seconds < LATE_AFTER_S else late


def _lasted(seconds: float) -> str:
    whole = max(0, round(seconds))
    for unit, size, smaller in (("d", 86_400, 3_600), ("h", 3_600, 60), ("min", 60, 1)):
        if whole >= size:
            names = {3_600: "h", 60: "min", 1: "s"}
            return f"{whole // size} {unit} {whole % size // smaller} {names[smaller]}"
    return f"{whole} s"


COLUMNS: Final[Mapping[str, Callable[[Item, datetime], str]]] = {
    "Order": lambda saga, _: str(saga["order_id"]),
    "Step": lambda saga, _: str(saga["step"]),
    "Owes": lambda saga, _: saga["owes"] or "-",
    "For": lambda saga, now: _lasted((now - saga["since"]).total_seconds()),
    "Tries": lambda saga, _: str(saga["tries"]),
    "Next try": lambda saga, now: _until(saga["next_try_at"], now),
    "Last error": lambda saga, _: saga["last_error"] or "-",
}
NARROW: Final = ("Order", "Step", "For", "Tries", "Next try")
"""What a step owes follows from the step, so a narrow list does without it."""
