"""What a run writes of itself: its own part of the page and nothing else, and figures a program can read."""

import json
from pathlib import Path

from tests.chaos.chaos import Result
from tests.chaos.faults import EVERY
from tests.chaos.report import BEGIN, END, write_json, write_rows


def a_result() -> Result:
    return Result(
        minutes=10,
        seed=7,
        orders_decided=20_001,
        kills=201,
        faults={EVERY[0].name: 150},
        dropped={"stored dropped": 99},
        violations={"one last step": 0},
    )


def test_only_the_part_between_the_marks_is_rewritten(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text(f"# Faults\n\nabove\n\n{BEGIN}\nan old table\n{END}\n\nbelow\n")

    write_rows(a_result(), page)
    write_rows(a_result(), page)

    text = page.read_text()
    assert text.startswith(
        f"# Faults\n\nabove\n\n{BEGIN}\n`make chaos MINUTES=10 SEED=7`: 20,001 orders decided"
    )
    assert text.endswith(f"{END}\n\nbelow\n")
    assert "an old table" not in text
    assert text.count(f"| {EVERY[0].name} | {EVERY[0].how} | 150 | 0 |") == 1


def test_a_page_is_made_where_there_is_none(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"

    write_rows(a_result(), page)

    assert page.read_text().startswith(f"# Faults\n\n{BEGIN}\n")


def test_the_figures_say_whether_all_is_well(tmp_path: Path) -> None:
    path = tmp_path / "chaos.json"
    result = a_result()
    write_json(result, path)
    assert json.loads(path.read_text())["clean"]

    result.judge("one last step", ["saga 1 has two"])
    write_json(result, path)

    told = json.loads(path.read_text())
    assert not told["clean"]
    assert (told["violations"], told["broken"]) == (
        {"one last step": 1},
        {"one last step": ["saga 1 has two"]},
    )
