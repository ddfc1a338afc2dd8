"""Wrong settings are refused by name before anything starts, and secrets are not repeated."""

import os
from pathlib import Path

import pytest

from adapters.settings import SettingError, child_environment, load_settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TILLROLL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def complaint() -> str:
    with pytest.raises(SettingError) as refused:
        load_settings()
    return str(refused.value)


def test_nothing_set_means_embedded_with_the_defaults_of_the_contract() -> None:
    settings = load_settings()
    assert settings.data == Path("data")
    assert settings.dsn("order") is None
    assert settings.nats_servers == ()
    assert (settings.payment_window_s, settings.sell_deadline_s) == (1800, 30)
    assert (settings.currency, settings.environment) == ("CNY", "production")
    assert (settings.nats_max_bytes, settings.queue_limit) == (8 * 1024**3, 10_000)
    assert (settings.delivery_window_s, settings.max_open_orders, settings.proxies) == (0, 10_000, ())


def test_a_service_without_its_own_dsn_shares_the_common_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", "postgresql://shared/till")
    monkeypatch.setenv("TILLROLL_ORDER_DSN", "postgresql://orders/till")
    settings = load_settings()
    assert settings.dsn("order") == "postgresql://orders/till"
    assert settings.dsn("inventory") == "postgresql://shared/till"


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", "")
    monkeypatch.setenv("TILLROLL_CURRENCY", "")
    assert load_settings().dsn("user") is None


def test_the_env_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("TILLROLL_CURRENCY=EUR\nTILLROLL_QUEUE_LIMIT=5\nPOSTGRES_PASSWORD=other\n")
    monkeypatch.setenv("TILLROLL_QUEUE_LIMIT", "7")
    settings = load_settings()
    assert (settings.currency, settings.queue_limit) == ("EUR", 7)


def test_several_brokers_of_one_cluster_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_NATS_URL", "nats://a:4222, tls://b:4222")
    assert load_settings().nats_servers == ("nats://a:4222", "tls://b:4222")


def test_several_proxies_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_TRUSTED_PROXIES", "10.0.0.7, 10.1.0.0/24,2001:db8::/32")
    settings = load_settings()
    assert settings.proxies == ("10.0.0.7", "10.1.0.0/24", "2001:db8::/32")
    assert child_environment(settings)["TILLROLL_TRUSTED_PROXIES"] == "10.0.0.7, 10.1.0.0/24,2001:db8::/32"


PROXIES = (
    "addresses or networks such as 10.0.0.7 or 10.0.0.0/24, several separated by commas, "
    "not all addresses there are"
)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TILLROLL_PAYMENT_WINDOW_S", "soon", "a whole number of seconds, 1 to 2592000"),
        ("TILLROLL_PAYMENT_WINDOW_S", "0", "a whole number of seconds, 1 to 2592000"),
        ("TILLROLL_SELL_DEADLINE_S", "-1", "a whole number of seconds, 1 to 3600"),
        ("TILLROLL_QUEUE_LIMIT", "1000001", "a whole number of commands, 1 to 1000000"),
        ("TILLROLL_NATS_MAX_BYTES", "8GB", "a whole number of bytes, 67108864 to 1099511627776"),
        ("TILLROLL_CURRENCY", "eur", "three capital letters such as CNY or EUR (ISO 4217)"),
        ("TILLROLL_ENVIRONMENT", "Test 1", "1 to 32 of a-z, 0-9 and -"),
        ("TILLROLL_TOKEN_KEY_FILE", "no/such.key", "the path of a file that exists and can be read"),
        ("TILLROLL_NATS_CREDS", ".", "the path of a file that exists and can be read"),
        ("TILLROLL_DELIVERY_WINDOW_S", "31536001", "a whole number of seconds, 0 to 31536000"),
        ("TILLROLL_MAX_OPEN_ORDERS", "0", "a whole number of orders, 1 to 1000000"),
        ("TILLROLL_TRUSTED_PROXIES", "*", PROXIES),
        ("TILLROLL_TRUSTED_PROXIES", "proxy.example", PROXIES),
        ("TILLROLL_TRUSTED_PROXIES", "10.0.0.7,", PROXIES),
        ("TILLROLL_TRUSTED_PROXIES", "10.0.0.7/8", PROXIES),
        ("TILLROLL_TRUSTED_PROXIES", "0.0.0.0/0", PROXIES),
        ("TILLROLL_TRUSTED_PROXIES", "10.0.0.7,::/0", PROXIES),
        ("TILLROLL_STAFF_EMAIL", "nobody", "an email address of at most 254 characters"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_given_and_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    assert complaint() == f"{name}: expected {expected}, was given {value!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TILLROLL_DSN", "hunter2"),
        ("TILLROLL_READ_DSN", "postgresql://app:hunter2@db:abc/till"),
        ("TILLROLL_READ_DSN", "postgresql://app:hunter2@db/till?no_such_option=1"),
        ("TILLROLL_NATS_URL", "http://app:hunter2@broker:4222"),
        ("TILLROLL_NATS_URL", "nats://app:hunter2@broker:99999"),
        ("TILLROLL_STAFF_PASSWORD", "hunter2"),
    ],
)
def test_a_wrong_value_that_may_hold_a_secret_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert complaint().startswith(f"{name}: expected ")
    assert "hunter2" not in complaint()


def test_printed_settings_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", "postgresql://app:hunter2@db/till")
    monkeypatch.setenv("TILLROLL_NATS_URL", "nats://app:hunter2@broker")
    monkeypatch.setenv("TILLROLL_STAFF_PASSWORD", "hunter2hunter2")
    assert "hunter2" not in repr(load_settings())


def test_all_wrong_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_CURRENCY", "dollars")
    monkeypatch.setenv("TILLROLL_QUEUE_LIMIT", "many")
    assert [line.split(":")[0] for line in complaint().splitlines()] == [
        "TILLROLL_QUEUE_LIMIT",
        "TILLROLL_CURRENCY",
    ]


def test_an_unknown_setting_is_refused_with_the_likely_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_PAYMENT_WINDOW", "60")
    assert complaint() == (
        "TILLROLL_PAYMENT_WINDOW: there is no such setting, did you mean TILLROLL_PAYMENT_WINDOW_S?"
    )


def test_an_unknown_setting_in_the_env_file_is_refused() -> None:
    Path(".env").write_text("TILLROLL_XYZZY=1\n")
    assert complaint() == "TILLROLL_XYZZY: there is no such setting"


def test_an_env_file_that_is_not_text_is_refused() -> None:
    Path(".env").write_bytes(b"TILLROLL_CURRENCY=\xff\n")
    assert complaint().startswith(".env: cannot be read as UTF-8 text")
