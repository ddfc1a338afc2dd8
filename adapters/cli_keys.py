"""`tillroll keys`: which keys there are, and new ones in their place. No key is ever printed, only names."""

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.table import Table

from adapters.cli_options import settings_with
from adapters.cli_reading import DataOption, JsonOption, console
from adapters.data_folder import read_running
from adapters.ids import utc_now
from adapters.key_errors import KeyFileError
from adapters.pii_key_file import pii_key_path, read_pii_keys
from adapters.pii_rotation import rotate as rotate_wrapping
from adapters.sealing import wrapping_name
from adapters.settings import Settings
from adapters.token_key_file import read_ring, stamp, token_key_path
from adapters.token_ring import EVER, NEVER, KeyRing
from adapters.token_rotation import replace_all
from adapters.token_rotation import rotate as rotate_token

DEFAULT_DELAY_S = 60
MAX_DELAY_S = 30 * 24 * 3600

app = typer.Typer(no_args_is_help=True, help="Keys of access tokens and of personal data.")


def register(parent: typer.Typer) -> None:
    """Adds the commands to the command line."""
    parent.add_typer(app, name="keys")


class Which(StrEnum):
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    PERSONAL = "personal"


WhichKey = Annotated[
    Which, typer.Argument(help="token: signs access tokens; personal: wraps the keys of persons.")
]


@app.command("list")
def list_command(as_json: bool = JsonOption, data: Path | None = DataOption) -> None:
    """Every key by its name: what signs access tokens and until when, what wraps the keys of persons."""
    settings = settings_with(data)
    keys = [*_token_keys(read_ring(token_key_path(settings)), utc_now()), *_personal_keys(settings)]
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode({"items": keys})).decode() + "\n")
        return
    table = Table("Key", "Name", "State", "Since", "Until", box=box.SIMPLE)
    for key in keys:
        table.add_row(key["key"], _short(key["name"]), key["state"], key["since"] or "-", key["until"] or "-")
    console().print(table)


@app.command()
def rotate(
    which: WhichKey = Which.TOKEN,
    delay_s: Annotated[
        int,
        typer.Option(
            "--in",
            metavar="SECONDS",
            min=1,
            max=MAX_DELAY_S,
            help="token: when the new key begins to sign; every machine must have the file by then.",
        ),
    ] = DEFAULT_DELAY_S,
    compromised: Annotated[
        bool,
        typer.Option(
            "--compromised", help="token: the new key signs at once and every access token there is dies."
        ),
    ] = False,
    data: Path | None = DataOption,
) -> None:
    """Put a new key in the place of the one in use; running processes notice within a second."""
    settings = settings_with(data)
    if which is Which.PERSONAL:
        if compromised or delay_s != DEFAULT_DELAY_S:
            raise KeyFileError("--in and --compromised are for the key of tokens")
        _rotate_personal(settings)
    elif compromised:
        ring = replace_all(token_key_path(settings), utc_now())
        _say(f"{_short(ring.keys[-1].key_id)} signs now, and every access token made before is dead.")
    else:
        ring = rotate_token(token_key_path(settings), utc_now(), delay_s=delay_s)
        newest, before = ring.keys[-1], ring.keys[-2]
        _say(f"{_short(newest.key_id)} signs from {_second(newest.signs_from)}.")
        _say(f"By then every machine needs the file: {token_key_path(settings)}")
        _say(f"Tokens of {_short(before.key_id)} are accepted until {_second(before.accepted_until)}.")


def _rotate_personal(settings: Settings) -> None:
    dsn = settings.dsn("user") or read_running(settings.data).dsn
    if dsn is None:
        raise KeyFileError("no database for user: set TILLROLL_DSN, or run `tillroll up`")
    name, count = rotate_wrapping(pii_key_path(settings), dsn)
    _say(f"{name} wraps the keys of persons now; wrapped anew: {count:,}. The old key is dropped.")
    _say(f"Back the file up, and let old copies of it go: {pii_key_path(settings)}")


def _token_keys(ring: KeyRing, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "key": Which.TOKEN,
            "name": each.key_id,
            "state": ring.state(each, now),
            "since": None if each.signs_from == EVER else _second(each.signs_from),
            "until": None if each.accepted_until == NEVER else _second(each.accepted_until),
        }
        for each in ring.keys
    ]


def _personal_keys(settings: Settings) -> list[dict[str, Any]]:
    """The first wraps; others stand there only while a rotation is under way."""
    names = [wrapping_name(key) for key in read_pii_keys(pii_key_path(settings)).wrapping]
    states = ["wrapping", *("unwrapping" for _ in names[1:])]
    return [
        {"key": Which.PERSONAL, "name": name, "state": state, "since": None, "until": None}
        for name, state in zip(names, states, strict=True)
    ]


def _second(at: datetime) -> str:
    return stamp(at.replace(microsecond=0))


def _short(name: str) -> str:
    """Enough of a PASERK id to tell keys apart."""
    return name if len(name) < 24 else f"{name[:18]}..."


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
