"""Every setting of Tillroll, read once from the environment or from `.env` (CONTRACT.md, section 3).

This is the only module that reads the environment. A field's description is what an operator is told when
the value is wrong, so it says what is expected, with its unit and limits.
"""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, cast, get_args
from urllib.parse import urlsplit

import psycopg
from dotenv import dotenv_values
from psycopg import conninfo
from pydantic import AfterValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "TILLROLL_"
ENV_FILE = Path(".env")
DEFAULT_POSTGRES_PORT = 5432

Service = Literal["user", "goods", "inventory", "order", "read"]
SERVICES: tuple[Service, ...] = get_args(Service)
LOGS: tuple[str, ...] = tuple(service for service in SERVICES if service != "read")


class SettingError(Exception):
    """One line for each wrong setting: its name, what was given (never a secret), what was expected."""


def _check_dsn(dsn: str | None) -> str | None:
    try:
        ports = conninfo.conninfo_to_dict(dsn or "").get("port") or str(DEFAULT_POSTGRES_PORT)
    except psycopg.ProgrammingError:
        # libpq's own words quote the part it could not read, which may be the password.
        raise ValueError("not a connection string") from None
    # libpq looks at the port only when it connects; a wrong one should be heard of at start.
    if not all(0 < int(port) < 2**16 for port in str(ports).split(",")):
        raise ValueError("not a port")
    return dsn


def _check_nats_urls(urls: str | None) -> str | None:
    for url in urls.split(",") if urls else ():
        parts = urlsplit(url.strip())
        if parts.scheme not in {"nats", "tls"} or not parts.hostname or parts.port == 0:
            raise ValueError("not a NATS address")
    return urls


def _check_networks(networks: str | None) -> str | None:
    for network in networks.split(",") if networks else ():
        if ip_network(network.strip()).prefixlen == 0:
            raise ValueError("whoever believes everybody can be told anything")
    return networks


def _check_readable(path: Path | None) -> Path | None:
    if path is not None:
        try:
            path.open("rb").close()
        except OSError as error:
            raise ValueError("not readable") from error
    return path


def _whole_number(of: str, low: int, high: int) -> FieldInfo:
    return cast(FieldInfo, Field(ge=low, le=high, description=f"a whole number of {of}, {low} to {high}"))


# What is kept out of repr() is a secret, or may hold one, and is not shown in errors either.
Dsn = Annotated[
    str | None,
    AfterValidator(_check_dsn),
    Field(description="a PostgreSQL connection string such as postgresql://user@host/database", repr=False),
]
NatsUrls = Annotated[
    str | None,
    AfterValidator(_check_nats_urls),
    Field(description="nats://host:port or tls://host:port, several separated by commas", repr=False),
]
Networks = Annotated[
    str | None,
    AfterValidator(_check_networks),
    Field(
        description="addresses or networks such as 10.0.0.7 or 10.0.0.0/24, several separated by commas, "
        "not all addresses there are"
    ),
]
ReadableFile = Annotated[
    Path | None,
    AfterValidator(_check_readable),
    Field(description="the path of a file that exists and can be read"),
]
Currency = Annotated[
    str, Field(pattern=r"^[A-Z]{3}$", description="three capital letters such as CNY or EUR (ISO 4217)")
]
Environment = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$", description="1 to 32 of a-z, 0-9 and -")]
Email = Annotated[
    str | None,
    Field(
        pattern=r"^[^@\s]+@[^@\s]+$", max_length=254, description="an email address of at most 254 characters"
    ),
]
Password = Annotated[
    str | None, Field(min_length=8, max_length=256, description="8 to 256 characters", repr=False)
]


class Settings(BaseSettings):
    """The settings, checked. A field is set by `TILLROLL_` and its name; an empty value counts as not set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    data: Annotated[Path, Field(description="a folder for the embedded servers and the keys")] = Path("data")
    # Not called `dsn`, so that `dsn(service)` is the one way to ask for an address.
    shared_dsn: Annotated[Dsn, Field(validation_alias=f"{PREFIX}DSN")] = None
    user_dsn: Dsn = None
    goods_dsn: Dsn = None
    inventory_dsn: Dsn = None
    order_dsn: Dsn = None
    read_dsn: Dsn = None

    nats_url: NatsUrls = None
    nats_creds: ReadableFile = None
    nats_max_bytes: Annotated[int, _whole_number("bytes", 64 * 1024**2, 1024**4)] = 8 * 1024**3

    payment_window_s: Annotated[int, _whole_number("seconds", 1, 30 * 24 * 3600)] = 1800
    sell_deadline_s: Annotated[int, _whole_number("seconds", 1, 3600)] = 30
    delivery_window_s: Annotated[int, _whole_number("seconds", 0, 365 * 24 * 3600)] = 0
    queue_limit: Annotated[int, _whole_number("commands", 1, 1_000_000)] = 10_000
    max_requests: Annotated[int, _whole_number("requests", 1, 100_000)] = 512
    max_open_orders: Annotated[int, _whole_number("orders", 1, 1_000_000)] = 10_000
    trusted_proxies: Networks = None
    currency: Currency = "CNY"
    environment: Environment = "production"

    token_key_file: ReadableFile = None
    pii_key_file: ReadableFile = None
    seal_key_file: ReadableFile = None
    password_blocklist: ReadableFile = None
    staff_email: Email = None
    staff_password: Password = None

    def dsn(self, service: Service) -> str | None:
        """The database of one service's log, or of the read models; None where the embedded one is meant."""
        own: str | None = getattr(self, f"{service}_dsn")
        return own or self.shared_dsn

    @property
    def nats_servers(self) -> tuple[str, ...]:
        """The broker's addresses; empty where the embedded one is meant."""
        return tuple(url.strip() for url in self.nats_url.split(",")) if self.nats_url else ()

    @property
    def proxies(self) -> tuple[str, ...]:
        """Whose X-Forwarded-For is believed: addresses and networks."""
        networks = self.trusted_proxies
        return tuple(network.strip() for network in networks.split(",")) if networks else ()


def load_settings() -> Settings:
    """Read and check all settings.

    Raises:
        SettingError: with one line for each setting that is wrong or unknown.
    """
    try:
        wrong = list(_unknown_settings())
        settings = Settings()
    except ValidationError as error:
        wrong += [_wrong_setting(detail) for detail in error.errors()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{ENV_FILE}: cannot be read as UTF-8 text: {error}") from error
    if wrong:
        raise SettingError("\n".join(wrong))
    return settings


def child_environment(settings: Settings) -> Mapping[str, str]:
    """The environment of a process that is to have exactly these settings, whatever ours says."""
    rest = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    named = {_variable(field): getattr(settings, field) for field in Settings.model_fields}
    paths = {name: value.resolve() for name, value in named.items() if isinstance(value, Path)}
    return {**rest, **{name: str(value) for name, value in {**named, **paths}.items() if value is not None}}


def only_embedded(settings: Settings, data: Path) -> Settings:
    """The same settings without the servers they name, for a shop of its own in a folder of its own."""
    servers = ("shared_dsn", "user_dsn", "goods_dsn", "inventory_dsn", "order_dsn", "read_dsn")
    keys = ("token_key_file", "pii_key_file", "seal_key_file")
    unset: dict[str, object] = dict.fromkeys((*servers, *keys, "nats_url", "nats_creds"))
    return settings.model_copy(update={**unset, "data": data})


def _variable(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field.upper()


def _unknown_settings() -> Iterator[str]:
    """Names nobody reads: mostly typing errors, which must not silently leave a default in place."""
    known = {_variable(field) for field in Settings.model_fields}
    given = {name.upper() for name in (*os.environ, *dotenv_values(ENV_FILE, interpolate=False))}
    endings = [name.removeprefix(PREFIX) for name in sorted(known)]
    for name in sorted(name for name in given - known if name.startswith(PREFIX)):
        likely = get_close_matches(name.removeprefix(PREFIX), endings, n=1)
        yield f"{name}: there is no such setting" + (f", did you mean {PREFIX}{likely[0]}?" if likely else "")


def _wrong_setting(detail: ErrorDetails) -> str:
    name = str(detail["loc"][0])
    field = next(field for field in Settings.model_fields if name in {field, _variable(field)})
    info = Settings.model_fields[field]
    given = repr(detail["input"]) if info.repr else "a value that is not shown"
    return f"{_variable(field)}: expected {info.description}, was given {given}"
