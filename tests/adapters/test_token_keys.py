"""Keys that come and go: which one signs, how long each is believed, and what a running process notices."""

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapters import token_key_file
from adapters.key_errors import KeyFileError
from adapters.paseto_key import SigningKey, generate
from adapters.paseto_tokens import TokenRefused, Tokens
from adapters.settings import Settings
from adapters.token_key_file import WatchedRing, parse_ring, read_ring, stamp, token_key, written_ring
from adapters.token_ring import EVER, NEVER, KeyRing, KeyState
from domain.user import Role

NOW = datetime(2026, 11, 23, 14, 3, tzinfo=UTC)
OVERLAP = timedelta(seconds=905)

OLD, NEW, LATER = generate(), generate(), generate()


class World:
    """A key file, and what two processes with clocks of their own make of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = NOW
        self.seconds = 0.0
        self.write((EVER, OLD))
        self.one, self.other = self.process(), self.process()

    def process(self) -> Tokens:
        return Tokens(
            WatchedRing(self.path, lambda: self.seconds), environment="test", clock=lambda: self.now
        )

    def write(self, *keys: tuple[datetime, SigningKey]) -> None:
        self.write_text(written_ring(KeyRing(keys)))

    def write_text(self, text: str) -> None:
        draft = self.path.with_name("draft")
        draft.touch(0o600)
        draft.write_text(text)
        draft.replace(self.path)

    def goes_on(self, seconds: float) -> None:
        self.seconds += seconds
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "token.key")


def mint(tokens: Tokens) -> str:
    return tokens.mint(user_id=7, role=Role.STAFF, session_id="s1").token


def refusal(tokens: Tokens, token: str) -> str:
    with pytest.raises(TokenRefused) as refused:
        tokens.verify(token)
    return refused.value.reason


# the ring


def test_the_newest_whose_time_has_come_signs() -> None:
    ring = KeyRing([(NOW, NEW), (EVER, OLD), (NOW + timedelta(60), LATER)])
    assert ring.signing(NOW - timedelta(microseconds=1)).key is OLD
    assert ring.signing(NOW).key is NEW
    assert ring.signing(NOW + timedelta(60)).key is LATER


def test_before_any_time_has_come_the_oldest_signs() -> None:
    assert KeyRing([(NOW + timedelta(2), LATER), (NOW + timedelta(1), NEW)]).signing(NOW).key is NEW


def test_a_key_is_believed_until_the_last_token_of_its_time_has_expired() -> None:
    old, new = KeyRing([(EVER, OLD), (NOW, NEW)]).keys
    assert (old.accepted_until, new.accepted_until) == (NOW + OVERLAP, NEVER)


def test_every_key_has_a_state() -> None:
    ring = KeyRing([(EVER, OLD), (NOW, NEW), (NOW + timedelta(1), LATER)])

    def states(at: datetime) -> list[str]:
        return [str(ring.state(each, at)) for each in ring.keys]

    assert states(NOW - timedelta(1)) == ["signing", "next", "next"]
    assert states(NOW) == ["accepted", "signing", "next"]
    assert states(NOW + OVERLAP) == ["retired", "signing", "next"]
    assert ring.state(ring.keys[0], NOW + OVERLAP) is KeyState.RETIRED


@pytest.mark.parametrize(
    "keys",
    [[], [(NOW, OLD), (NOW, NEW)], [(EVER, OLD), (NOW, OLD)], [(NOW + timedelta(n), OLD) for n in range(17)]],
)
def test_what_is_no_ring_cannot_be_made(keys: list[tuple[datetime, SigningKey]]) -> None:
    with pytest.raises(ValueError, match=r"expected|twice"):
        KeyRing(keys)


# processes


def test_tokens_of_both_keys_are_good_while_they_overlap(world: World) -> None:
    before = mint(world.one)
    world.write((EVER, OLD), (NOW + timedelta(seconds=60), NEW))
    world.goes_on(59)
    just_before = mint(world.one)
    world.goes_on(1)
    after = mint(world.one)
    for token in (before, just_before, after):
        assert world.other.verify(token).user_id == 7
    assert kid(before) == kid(just_before) != kid(after)
    world.goes_on(899 - 60)
    assert world.other.verify(before)
    world.goes_on(1)
    assert refusal(world.other, before) == "expired"
    assert world.other.verify(after)


def kid(token: str) -> str:
    return token.rpartition(".")[2]


def test_one_process_may_hear_of_a_key_before_another(world: World) -> None:
    """The other looks at once, because it does not know the key."""
    assert world.other.verify(mint(world.one))
    world.goes_on(0.9)
    world.other.verify(mint(world.one))
    world.write((EVER, OLD), (NOW, NEW))
    assert world.other.verify(mint(world.process()))


def test_a_retired_key_is_refused_even_while_it_stands_in_the_file(world: World) -> None:
    slow = world.process()
    world.write((NOW - timedelta(1), OLD), (NOW - timedelta(seconds=904.5), NEW))
    token = mint(slow)
    assert kid(token) == kid(mint(Tokens(OLD, environment="test", clock=lambda: NOW)))
    fresh = world.process()
    assert fresh.verify(token)
    world.goes_on(0.4)
    assert fresh.verify(token)
    world.goes_on(0.1)
    assert refusal(fresh, token) == "made with a key that is retired"


def test_a_token_seen_before_dies_with_its_key_within_a_second(world: World) -> None:
    token = mint(world.one)
    world.other.verify(token)
    world.write((NOW, NEW))
    world.goes_on(0.99)
    world.other.verify(token)
    world.goes_on(0.01)
    assert refusal(world.other, token) == "made with an unknown key"
    assert world.other.verify(mint(world.one))


def test_a_file_is_looked_at_once_a_second_however_much_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []
    mark_of = token_key_file._mark_of

    def looked_at(path: Path) -> object:
        looks.append(path)
        return mark_of(path)

    monkeypatch.setattr(token_key_file, "_mark_of", looked_at)
    strange = [mint(Tokens(generate(), environment="test", clock=lambda: NOW)) for _ in range(50)]
    good = mint(world.one)
    for token in strange:
        world.one.verify(good)
        assert refusal(world.one, token) == "made with an unknown key"
    assert len(looks) == 1
    world.goes_on(1)
    for token in strange:
        world.one.verify(good)
        assert refusal(world.one, token)
    assert len(looks) == 3


def test_a_file_that_did_not_change_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_key_file, "read_ring", lambda _: pytest.fail("read"))
    world.goes_on(5)
    assert world.other.verify(mint(world.one))


def spoil(world: World, how: str) -> None:
    match how:
        case "gone":
            world.path.unlink()
        case "open":
            world.path.chmod(0o640)
        case _:
            world.write_text(how)


@pytest.mark.parametrize("how", ["gone", "open", "", "nonsense", "2026-11-23T14:03:00Z k4.secret.AAAA"])
def test_a_file_that_is_spoilt_leaves_the_keys_as_they_were(
    world: World, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = mint(world.one)
    spoil(world, how)
    for _ in range(5):
        world.goes_on(1)
        assert world.other.verify(token)
        assert world.other.verify(mint(world.other))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert str(world.path) in lines[0]
    assert "AAAA" not in lines[0]
    world.write((NOW, NEW))
    world.goes_on(1)
    assert refusal(world.other, token) == "made with an unknown key"


def test_a_change_is_one_line_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.write((EVER, OLD), (NOW, NEW))
    for _ in range(3):
        world.goes_on(1)
        mint(world.one)
    assert [record.getMessage() for record in caplog.records] == [
        "the keys of access tokens have changed: there are 2"
    ]


# files


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    made = token_key(settings).current()
    path = tmp_path / "keys" / "token.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert ids(token_key(settings).current()) == ids(made)
    assert list(path.parent.iterdir()) == [path]


def ids(ring: KeyRing) -> list[tuple[datetime, str]]:
    return [(each.signs_from, each.key_id) for each in ring.keys]


def test_the_second_of_two_starts_reads_what_the_first_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path)
    link, made = os.link, []

    def overtaken(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        made.append(token_key(settings).current())
        link(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    assert ids(token_key(settings).current()) == ids(made[0])
    assert len(list((tmp_path / "keys").iterdir())) == 1


def test_a_key_that_a_setting_names_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        read_ring(tmp_path / "none.pem")


def test_one_key_alone_has_been_signing_since_ever() -> None:
    assert ids(parse_ring(f"\n{OLD.key.to_paserk()}\n")) == [(EVER, OLD.key_id)]


def test_a_pem_file_is_good_as_openssl_writes_it() -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (only,) = parse_ring(pem.decode()).keys
    assert only.signs_from == EVER


def test_a_file_of_several_keys_may_have_comments_and_any_order() -> None:
    old, new = OLD.key.to_paserk(), NEW.key.to_paserk()
    text = f"# keys\n\n2026-11-24T00:00:00+01:00\t{new}\n  2026-11-23T14:03:00Z  {old}  \n# end"
    later = datetime(2026, 11, 23, 23, tzinfo=UTC)
    assert ids(parse_ring(text)) == [(NOW, OLD.key_id), (later, NEW.key_id)]


def test_what_is_written_is_read_the_same() -> None:
    ring = KeyRing([(EVER, OLD), (NOW, NEW), (NOW + timedelta(microseconds=1), LATER)])
    assert ids(parse_ring(written_ring(ring))) == ids(ring)


def test_the_public_half_checks_what_the_key_signs_however_it_is_written() -> None:
    for key in (OLD, parse_ring(OLD.key.to_paserk()).keys[0].key):
        assert key.public.to_paserk_id() == key.key_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "nonsense",
        "k4.public.AAAA",
        "k4.secret.AAAA",
        "k4",
        "k2.secret.AAAA",
        "tomorrow " + OLD.key.to_paserk(),
        "2026-11-23T14:03:00 " + OLD.key.to_paserk(),
        "0001-01-01T00:00:00+10:00 " + OLD.key.to_paserk(),
        "2026-11-23T14:03:00Z",
        "2026-11-23T14:03:00Z " + OLD.key.to_paserk() + "A",
        "2026-11-23T14:03:00Z " + OLD.key.to_paserk() + " and more",
        OLD.key.to_paserk() + "\n" + NEW.key.to_paserk(),
        f"{stamp(NOW)} {OLD.key.to_paserk()}\n{stamp(NOW)} {NEW.key.to_paserk()}",
        f"{stamp(EVER)} {OLD.key.to_paserk()}\n{stamp(NOW)} {OLD.key.to_paserk()}",
        OLD.key.to_paserk() + "\n" + "#" * 20_000,
        "\u00e9",
    ],
)
def test_what_is_no_file_of_keys_is_refused_unquoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token.key"
    path.touch(0o600)
    path.write_text(text, "utf-8")
    with pytest.raises(KeyFileError) as refused:
        read_ring(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not any(word in str(refused.value) for word in text.split() if len(word) > 10 and "." in word)


def test_a_file_that_others_can_read_is_refused(world: World) -> None:
    world.path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_ring(world.path)


def test_a_key_is_never_shown() -> None:
    assert "secret" not in repr(OLD)
    assert OLD.key.to_paserk() not in repr(KeyRing([(EVER, OLD)]).keys)
