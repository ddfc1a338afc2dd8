"""The rules of the house: who may import whom, where the environment is read, how long things get."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("domain", "orchestrator", "projections", "adapters")
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40

ALLOWED = {
    "domain": {"domain"},
    "projections": {"domain", "projections"},
    "orchestrator": {"domain", "orchestrator", "eventsourcing"},
}
"""Besides the standard library."""


def modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), name_of(path))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import in the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.lineno, (node.module or "").partition(".")[0]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_there_is_something_to_look_at() -> None:
    assert all(len(modules(package)) > 5 for package in PACKAGES)


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    allowed = ALLOWED[package] | set(sys.stdlib_module_names)
    wrong = [
        f"{name_of(path)}:{line} imports {what}"
        for path in modules(package)
        for line, what in imported(tree_of(path))
        if what not in allowed
    ]
    assert wrong == []


def test_the_domain_knows_no_clock_no_randomness_no_thread_and_no_await() -> None:
    worldly = {"asyncio", "threading", "time", "random", "secrets", "os", "uuid", "socket", "logging"}
    calls = {"now", "utcnow", "today"}
    wrong = [
        f"{name_of(path)}:{line} imports {what}"
        for path in modules("domain")
        for line, what in imported(tree_of(path))
        if what in worldly
    ]
    wrong += [
        f"{name_of(path)}:{node.lineno}"
        for path in modules("domain")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Await | ast.AsyncFunctionDef)
        or (isinstance(node, ast.Attribute) and node.attr in calls)
    ]
    assert wrong == []


def test_nobody_imports_the_tests() -> None:
    wrong = [
        f"{name_of(path)}:{line}"
        for path in modules(*PACKAGES)
        for line, what in imported(tree_of(path))
        if what == "tests"
    ]
    assert wrong == []


def test_nothing_is_imported_inside_a_function() -> None:
    wrong = {
        f"{name_of(path)}:{line}"
        for path in modules(*PACKAGES)
        for function in functions(tree_of(path))
        for line, _ in imported(function)
    }
    assert sorted(wrong) == []


def test_the_environment_is_read_in_settings_only() -> None:
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules(*PACKAGES)
        if name_of(path) != "adapters/settings.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    ]
    assert wrong == []


def test_modules_are_short() -> None:
    lines = {name_of(path): len(path.read_text().splitlines()) for path in modules(*PACKAGES)}

    assert {name: count for name, count in lines.items() if count >= MAX_MODULE_LINES} == {}


def test_functions_are_short() -> None:
    wrong = [
        f"{name_of(path)}:{function.lineno} {function.name}: {length} lines"
        for path in modules(*PACKAGES)
        for function in functions(tree_of(path))
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert wrong == []


def test_no_module_is_part_of_a_cycle() -> None:
    """Only what runs at import time can be one, and imports inside functions are not allowed anyway."""
    known = {name_of(path).removesuffix(".py").replace("/", "."): path for path in modules(*PACKAGES)}
    needs = {name: {found for found in _needed(path) if found in known} for name, path in known.items()}
    while leaves := [name for name, found in needs.items() if not found]:
        needs = {name: found - set(leaves) for name, found in needs.items() if name not in leaves}
    assert needs == {}


def _needed(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tracked() -> list[Path]:
    """Files that a clone has."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    return [path for name in listed if name and (path := ROOT / name).is_file()]


def test_tests_have_no_init_files() -> None:
    """`tests/domain` would be a package and shadow `domain`."""
    assert [name_of(path) for path in tracked() if path.match("tests/**/__init__.py")] == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_there_is_no_lock_file_with_addresses() -> None:
    assert [name_of(path) for path in tracked() if path.name in {"uv.lock", "poetry.lock"}] == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    """Where packages come from is the business of whoever installs them."""
    hosts = re.compile(
        r"(?:files\.)?python" + r"hosted\.org|py" + r"pi\.org|py" + r"pi\.python\.org", re.IGNORECASE
    )
    index = re.compile(r"^\s*(?:--(?:extra-)?index-url|index-url\s*=|\[\[tool\.uv\.index\]\])", re.MULTILINE)
    wrong = []
    for path in tracked():
        text = path.read_text(errors="replace") if path.suffix not in {".gz", ".png"} else ""
        wrong += [f"{name_of(path)}: {found}" for found in {*hosts.findall(text), *index.findall(text)}]
    assert wrong == []
