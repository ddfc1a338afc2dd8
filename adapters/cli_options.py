"""Options of commands, and the settings they change."""

from pathlib import Path
from typing import Annotated, Final

import typer

from adapters.settings import Settings, load_settings

DEFAULT_PORT: Final = 8000

Data = Annotated[Path | None, typer.Option(help="Data folder; TILLROLL_DATA or ./data when left out.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]


def settings_with(data: Path | None) -> Settings:
    """As they are set, with the data folder that was named. Raises SettingError."""
    settings = load_settings()
    return settings if data is None else settings.model_copy(update={"data": data})
