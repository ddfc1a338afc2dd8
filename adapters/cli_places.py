"""Groups of commands that load the module of a command when that is asked for.

All modules together take seconds, and whoever asks at night what happened to an order should not wait for a
web framework. A list of commands is told without loading any of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Place:
    """`module`: of adapters; its `register` adds the command. `told`: the command in one sentence."""

    module: str
    told: str


class PlacedCommands(TyperGroup):
    """A group's commands are those of its `places`, in that order."""

    places: ClassVar[Mapping[str, Place]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        place = self.places.get(cmd_name)
        if place is None:
            return None
        part = typer.Typer(rich_markup_mode=None)
        import_module(f"adapters.{place.module}").register(part)
        return typer.main.get_group(part).commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.told) for name, place in self.places.items()])
