"""The file with the keys for personal data: made once, in two forms, and never half read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters.key_errors import KeyFileError
from adapters.pii_key_file import PiiKeys, pii_keys, read_pii_keys, write_pii_keys
from adapters.settings import Settings

EMAIL, FIRST, SECOND = (digit * 64 for digit in "abc")


def file_with(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "pii.key"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_it_is_made_on_first_use_and_stays_the_same(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    made = pii_keys(settings)
    path = tmp_path / "keys" / "pii.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert pii_keys(settings) == made
    assert made.email != made.wrapping[0]
    assert [each.name for each in path.parent.iterdir()] == ["pii.key"]


def test_of_many_that_make_it_at_once_one_does(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(pii_keys, Settings(data=tmp_path)) for _ in range(8)]
    assert len({each.result().email for each in found}) == 1


def test_the_first_wrapping_key_comes_first(tmp_path: Path) -> None:
    path = file_with(tmp_path, f"wrap {FIRST}\nemail {EMAIL}\n\nwrap {SECOND}\n")
    keys = read_pii_keys(path)
    assert (keys.email.hex(), [key.hex() for key in keys.wrapping]) == (EMAIL, [FIRST, SECOND])


def test_plain_digits_give_two_keys_and_neither_is_the_digits(tmp_path: Path) -> None:
    keys = read_pii_keys(file_with(tmp_path, FIRST + "\n"))
    assert len({keys.email, keys.wrapping[0], bytes.fromhex(FIRST)}) == 3
    assert read_pii_keys(file_with(tmp_path, FIRST)) == keys


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = file_with(tmp_path, FIRST)
    keys = PiiKeys(bytes.fromhex(EMAIL), (bytes.fromhex(SECOND), bytes.fromhex(FIRST)))
    write_pii_keys(path, keys)
    assert read_pii_keys(path) == keys
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "",
        FIRST[1:],
        FIRST.upper(),
        f"email {EMAIL}",
        f"wrap {FIRST}",
        f"email {EMAIL}\nemail {EMAIL}\nwrap {FIRST}",
        f"email {EMAIL}\nwrap {FIRST}\nrest",
        f"email {EMAIL}\n" + f"wrap {FIRST}\n" * 17,
        "ä" * 64,
    ],
)
def test_anything_else_is_refused_in_one_line_that_shows_no_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyFileError, match="expected 64 hexadecimal digits") as refused:
        read_pii_keys(file_with(tmp_path, text))
    assert FIRST not in str(refused.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_pii_keys(file_with(tmp_path, FIRST, 0o644))


def test_a_file_that_a_setting_names_is_never_made(tmp_path: Path) -> None:
    named = Settings(data=tmp_path).model_copy(update={"pii_key_file": tmp_path / "gone"})
    with pytest.raises(KeyFileError, match="No such file"):
        pii_keys(named)
