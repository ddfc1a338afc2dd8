"""Users and sessions over HTTP: nobody learns who exists, and what is ended is dead at once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.ledger_codec import CODEC
from adapters.paseto_key import generate
from adapters.paseto_tokens import Tokens
from domain.recorded import Cause, Recorded
from domain.services import USER
from domain.session import EndSession
from domain.user import Role
from orchestrator.ledger import Ledger
from orchestrator.log import RecorderLog
from tests.adapters.http_client import Client, open_client

PASSWORD = "correct horse battery"
ANN = {"email": "Ann@Example.COM", "password": PASSWORD, "nickname": "Ann"}
LOG_IN = {"email": "ann@example.com", "password": PASSWORD}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def log_in(client: Client) -> Any:
    """Ann's session, registering her first."""
    await client.call("POST", "/v1/users", ANN)
    return (await client.call("POST", "/v1/sessions", LOG_IN)).json


async def refresh(client: Client, token: str) -> Any:
    return await client.call("POST", "/v1/sessions/refresh", {"refresh_token": token})


async def is_alive(client: Client, token: str) -> bool:
    answered = await client.call("GET", "/v1/users/me", token=token)
    assert answered.status in (200, 401)
    return answered.status == 200


async def test_a_user_registers_and_logs_in_under_any_spelling(client: Client) -> None:
    registered = await client.call("POST", "/v1/users", {**ANN, "gender": "female"})
    assert registered.status == 201
    assert registered.headers["Tillroll-Position"].startswith("user=")
    assert registered.json["email"] == "Ann@example.com"
    assert (registered.json["role"], registered.json["gender"]) == (1, "female")
    session = await client.call("POST", "/v1/sessions", {**LOG_IN, "email": " aNN@example.com "})
    assert (session.status, session.json["user"]) == (201, registered.json)
    profile = await client.call("GET", "/v1/users/me", token=session.json["access_token"])
    assert profile.json == registered.json
    assert PASSWORD.encode() not in registered.raw + session.raw
    assert b"argon2" not in registered.raw + session.raw + profile.raw


async def test_an_address_is_taken_once(client: Client) -> None:
    await client.call("POST", "/v1/users", ANN)
    taken = await client.call("POST", "/v1/users", {**ANN, "email": "ann@EXAMPLE.com"})
    assert (taken.status, taken.name) == (409, "email-taken")


async def test_an_unknown_name_and_a_wrong_password_are_answered_alike(client: Client) -> None:
    await client.call("POST", "/v1/users", ANN)
    wrong = await client.call("POST", "/v1/sessions", {**LOG_IN, "password": "no"})
    unknown = await client.call("POST", "/v1/sessions", {"email": "x", "password": "no"})
    assert (wrong.status, wrong.name) == (401, "bad-credentials")
    assert (unknown.status, unknown.raw) == (401, wrong.raw)


@pytest.mark.parametrize("email", ["ann@example.com", "nobody@example.com"])
async def test_after_five_failures_the_account_waits_twice_as_long_each_time(
    client: Client, email: str
) -> None:
    await client.call("POST", "/v1/users", ANN)
    guess = {"email": email, "password": "guess"}
    for _ in range(5):
        assert (await client.call("POST", "/v1/sessions", guess)).status == 401
    for wait_s in (1, 2, 4):
        blocked = await client.call("POST", "/v1/sessions", {**guess, "password": PASSWORD})
        assert (blocked.status, blocked.name) == (429, "too-many-attempts")
        assert blocked.headers["Retry-After"] == str(wait_s)
        client.shop.ahead += timedelta(seconds=wait_s)
        assert (await client.call("POST", "/v1/sessions", guess)).status == 401


async def test_a_success_forgives_the_failures_before_it(client: Client) -> None:
    await client.call("POST", "/v1/users", ANN)
    for _ in range(2):
        for _ in range(4):
            await client.call("POST", "/v1/sessions", {**LOG_IN, "password": "guess"})
        assert (await client.call("POST", "/v1/sessions", LOG_IN)).status == 201


async def test_a_refresh_token_is_good_once_and_twice_ends_its_session(client: Client) -> None:
    first = await log_in(client)
    second = await refresh(client, first["refresh_token"])
    assert second.status == 200
    assert second.json["refresh_token"] != first["refresh_token"]
    assert second.json["refresh_expires_at"] == first["refresh_expires_at"]
    assert await is_alive(client, first["access_token"])
    reused = await refresh(client, first["refresh_token"])
    assert (reused.status, reused.name) == (401, "bad-credentials")
    assert not await is_alive(client, second.json["access_token"])
    assert (await refresh(client, second.json["refresh_token"])).status == 401


async def test_a_session_ends_after_thirty_days(client: Client) -> None:
    session = await log_in(client)
    client.shop.ahead += timedelta(days=30, seconds=1)
    assert (await refresh(client, session["refresh_token"])).status == 401


@pytest.mark.parametrize("token", ["x", ".", "a.b", f"{'0' * 34}.{'A' * 43}", "0" * 257])
async def test_a_refresh_token_that_is_none_is_refused(client: Client, token: str) -> None:
    assert (await refresh(client, token)).status in (401, 422)


async def test_logging_out_ends_one_session_at_once(client: Client) -> None:
    one = await log_in(client)
    other = (await client.call("POST", "/v1/sessions", LOG_IN)).json
    assert await is_alive(client, one["access_token"])
    ended = await client.call("DELETE", "/v1/sessions", token=one["access_token"])
    assert (ended.status, "Tillroll-Position" in ended.headers) == (204, True)
    assert not await is_alive(client, one["access_token"])
    assert (await refresh(client, one["refresh_token"])).status == 401
    assert await is_alive(client, other["access_token"])


async def test_logging_out_everywhere_ends_every_session_at_once(client: Client) -> None:
    one = await log_in(client)
    other = (await client.call("POST", "/v1/sessions", LOG_IN)).json
    await client.call("DELETE", "/v1/sessions?all=true", token=one["access_token"])
    for session in (one, other):
        assert not await is_alive(client, session["access_token"])
        assert (await refresh(client, session["refresh_token"])).status == 401
    later = (await client.call("POST", "/v1/sessions", LOG_IN)).json
    assert await is_alive(client, later["access_token"])
    assert (await refresh(client, later["refresh_token"])).status == 200


async def test_what_another_process_recorded_kills_a_token_once_it_is_learned(client: Client) -> None:
    session = await log_in(client)
    assert await is_alive(client, session["access_token"])
    heard: list[Recorded] = []
    elsewhere = Ledger(USER, RecorderLog(client.shop.recorders["user"]), CODEC)
    elsewhere.listeners.append(heard.extend)
    session_id = session["refresh_token"].partition(".")[0]
    await elsewhere.submit(EndSession(session_id), Cause("c", "test", "", client.shop.now()))
    await elsewhere.close()
    assert await is_alive(client, session["access_token"])
    for recorded in heard:
        client.shop.sessions.learn(recorded)
    assert not await is_alive(client, session["access_token"])


async def test_a_token_first_seen_after_its_session_ended_elsewhere_is_refused(client: Client) -> None:
    session = await log_in(client)
    elsewhere = Ledger(USER, RecorderLog(client.shop.recorders["user"]), CODEC)
    session_id = session["refresh_token"].partition(".")[0]
    await elsewhere.submit(EndSession(session_id), Cause("c", "test", "", client.shop.now()))
    await elsewhere.close()
    assert not await is_alive(client, session["access_token"])


async def test_a_new_role_ends_the_tokens_of_the_old_one(client: Client) -> None:
    staff, session = await client.user(Role.STAFF), await log_in(client)
    user_id = session["user"]["user_id"]
    assert await is_alive(client, session["access_token"])
    granted = await client.call("PATCH", f"/v1/users/{user_id}", {"role": 2}, token=staff)
    assert (granted.status, granted.json["role"]) == (200, 2)
    assert not await is_alive(client, session["access_token"])
    renewed = await refresh(client, session["refresh_token"])
    assert renewed.json["user"]["role"] == 2
    read = await client.call("GET", f"/v1/users/{user_id}", token=renewed.json["access_token"])
    assert read.json == granted.json


async def test_a_token_of_the_old_role_made_just_after_the_grant_is_dead_too(client: Client) -> None:
    staff, session = await client.user(Role.STAFF), await log_in(client)
    user_id, session_id = session["user"]["user_id"], session["refresh_token"].partition(".")[0]
    client.shop.ahead += timedelta(seconds=1)
    ahead = client.shop.tokens.mint(user_id=user_id, role=Role.CUSTOMER, session_id=session_id).token
    client.shop.ahead -= timedelta(seconds=1)
    assert await is_alive(client, ahead)
    await client.call("PATCH", f"/v1/users/{user_id}", {"role": 3}, token=staff)
    assert not await is_alive(client, ahead)


async def test_staff_read_users_and_nobody_reads_one_who_is_not(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    assert (await client.call("GET", "/v1/users/999", token=staff)).name == "no-such-user"
    refused = await client.call("PATCH", "/v1/users/999", {"role": 2}, token=staff)
    assert (refused.status, refused.name) == (404, "no-such-user")


async def test_a_profile_changes_and_a_password_needs_the_one_before(client: Client) -> None:
    token = (await log_in(client))["access_token"]
    named = await client.call("PATCH", "/v1/users/me", {"nickname": "Bea"}, token=token)
    assert (named.status, named.json["nickname"]) == (200, "Bea")
    new = {"password": "another long one", "current_password": "wrong"}
    wrong = await client.call("PATCH", "/v1/users/me", new, token=token)
    assert (wrong.status, wrong.name) == (401, "bad-credentials")
    changed = await client.call("PATCH", "/v1/users/me", {**new, "current_password": PASSWORD}, token=token)
    assert changed.status == 200
    assert (await client.call("POST", "/v1/sessions", LOG_IN)).status == 401
    fresh = await client.call("POST", "/v1/sessions", {**LOG_IN, "password": new["password"]})
    assert fresh.status == 201


async def test_a_new_password_ends_every_session_but_the_one_that_knew_the_old(client: Client) -> None:
    stolen = await log_in(client)
    own = (await client.call("POST", "/v1/sessions", LOG_IN)).json
    heard: list[Recorded] = []
    client.shop.users.listeners.append(heard.extend)
    change = {"password": "another long one", "current_password": PASSWORD}
    await client.call("PATCH", "/v1/users/me", change, token=own["access_token"])
    for recorded in [*heard, *heard]:  # as another process learns it, and twice
        client.shop.sessions.learn(recorded)
    assert not await is_alive(client, stolen["access_token"])
    assert (await refresh(client, stolen["refresh_token"])).status == 401
    assert await is_alive(client, own["access_token"])
    assert (await refresh(client, own["refresh_token"])).status == 200
    log_in_again = {**LOG_IN, "password": "another long one"}
    assert await is_alive(
        client, (await client.call("POST", "/v1/sessions", log_in_again)).json["access_token"]
    )


async def test_nobody_changes_their_own_role(client: Client) -> None:
    await log_in(client)
    staff = await client.user(Role.STAFF)
    own_id = (await client.call("GET", "/v1/users/me", token=staff)).json["user_id"]
    refused = await client.call("PATCH", f"/v1/users/{own_id}", {"role": 1}, token=staff)
    assert (refused.status, refused.name) == (409, "own-role")


async def test_while_nothing_is_heard_of_other_processes_every_token_is_looked_up(client: Client) -> None:
    session = await log_in(client)
    assert await is_alive(client, session["access_token"])
    elsewhere = Ledger(USER, RecorderLog(client.shop.recorders["user"]), CODEC)
    session_id = session["refresh_token"].partition(".")[0]
    await elsewhere.submit(EndSession(session_id), Cause("c", "test", "", client.shop.now()))
    await elsewhere.close()
    assert await is_alive(client, session["access_token"])
    client.shop.sessions.hears_all = lambda: False
    assert not await is_alive(client, session["access_token"])


async def test_nothing_personal_stands_in_the_log(client: Client) -> None:
    """Not even in another form: what is stored is searched for as JSON spells it."""
    session = await log_in(client)
    token = session["access_token"]
    await client.call("PATCH", "/v1/users/me", {"nickname": "Bea", "gender": "unsaid"}, token=token)
    stored = [event.state for event in client.shop.recorders["user"].select_notifications(None, 1_000)]
    assert len(stored) == 4
    for word in (b"ann", b"Ann", b"Bea", b"unsaid", b"argon2", b"example.com", PASSWORD.encode()):
        assert not [state for state in stored if word in state], word
    assert (await client.call("GET", "/v1/users/me", token=token)).json["nickname"] == "Bea"


async def test_a_profile_that_stays_the_same_records_nothing(client: Client) -> None:
    token = (await log_in(client))["access_token"]
    before = client.shop.recorders["user"].max_notification_id()
    same = await client.call("PATCH", "/v1/users/me", {"nickname": "Ann"}, token=token)
    assert (same.status, same.json["nickname"]) == (200, "Ann")
    assert client.shop.recorders["user"].max_notification_id() == before


async def test_a_wrong_password_is_one_line_in_the_log_that_names_nobody(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await client.call("POST", "/v1/users", ANN)
    await client.call("POST", "/v1/sessions", {**LOG_IN, "password": "guess-word"})
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("adapters")]
    assert "a password was wrong" in line
    assert not any(word in line for word in ("ann", "example", "guess", "127.0.0.1"))


@pytest.mark.parametrize(
    "change",
    [{}, {"nickname": None}, {"password": "long enough"}, {"current_password": "x"}, {"email": "x@y.z"}],
)
async def test_a_profile_change_that_is_none_is_refused(client: Client, change: dict[str, Any]) -> None:
    refused = await client.call("PATCH", "/v1/users/me", change, token=await client.user())
    assert (refused.status, refused.name) == (422, "invalid")


async def test_a_token_of_another_key_or_an_old_one_is_refused(client: Client) -> None:
    forged = Tokens(generate(), environment="test", clock=client.shop.now)
    token = forged.mint(user_id=1, role=Role.STAFF, session_id="s1").token
    refused = await client.call("GET", "/v1/users/me", token=token)
    assert (refused.status, refused.name) == (401, "unauthorized")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    good = await client.user()
    assert await is_alive(client, good)
    client.shop.ahead += timedelta(seconds=901)
    assert not await is_alive(client, good)


async def test_a_registration_that_is_refused_leaves_no_key(client: Client) -> None:
    await client.call("POST", "/v1/users", ANN)
    keys = dict(client.shop.keys.keys)
    assert (await client.call("POST", "/v1/users", ANN)).name == "email-taken"
    assert client.shop.keys.keys == keys


# races: what ends all sessions, while one is begun or goes on


async def test_a_log_in_with_a_password_that_changes_meanwhile_opens_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was compared, and the session would have lived on for weeks."""
    own = await log_in(client)
    compared, go_on = asyncio.Event(), asyncio.Event()
    matches = client.shop.passwords.matches

    async def slowly(*given: Any, **named: Any) -> bool:
        good = await matches(*given, **named)
        compared.set()
        await go_on.wait()
        return good

    monkeypatch.setattr(client.shop.passwords, "matches", slowly)
    late = asyncio.create_task(client.call("POST", "/v1/sessions", LOG_IN))
    await compared.wait()
    monkeypatch.setattr(client.shop.passwords, "matches", matches)
    change = {"password": "another long one", "current_password": PASSWORD}
    token = own["access_token"]
    assert (await client.call("PATCH", "/v1/users/me", change, token=token)).status == 200
    go_on.set()
    answered = await late
    assert (answered.status, answered.name) == (401, "bad-credentials")


async def test_of_two_new_passwords_at_once_the_second_did_not_know_the_first(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await log_in(client)
    other = (await client.call("POST", "/v1/sessions", LOG_IN)).json
    both = asyncio.Barrier(2)
    hash_of = client.shop.passwords.hash

    async def together(password: str) -> str:
        await both.wait()
        return await hash_of(password)

    monkeypatch.setattr(client.shop.passwords, "hash", together)

    async def change(session: Any, new: str) -> int:
        body = {"password": new, "current_password": PASSWORD}
        return (await client.call("PATCH", "/v1/users/me", body, token=session["access_token"])).status

    done = await asyncio.gather(change(one, "first new password"), change(other, "second new password"))
    assert sorted(done) == [200, 401]


@pytest.mark.parametrize("way", ["DELETE /v1/sessions?all=true", "PATCH /v1/users/me", "DELETE /v1/users/me"])
async def test_nothing_that_a_refresh_gets_outlives_the_end_of_every_session(
    client: Client, way: str
) -> None:
    """Many times at once, so that the end comes before, between and behind."""
    session = await log_in(client)
    own = (await client.call("POST", "/v1/sessions", LOG_IN)).json
    got: list[str] = [session["access_token"]]

    async def refreshing() -> None:
        token = session["refresh_token"]
        while True:
            answered = await refresh(client, token)
            if answered.status != 200:
                return
            got.append(answered.json["access_token"])
            token = answered.json["refresh_token"]

    busy = asyncio.create_task(refreshing())
    await asyncio.sleep(0.05)
    method, path = way.split()
    body = {"password": "another long one", "current_password": PASSWORD} if method == "PATCH" else None
    assert (await client.call(method, path, body, token=own["access_token"])).status in (200, 204)
    async with asyncio.timeout(10):
        await busy
    assert len(got) > 3
    assert not [token for token in got if await is_alive(client, token)]


async def test_a_made_up_secret_ends_nobodys_session(client: Client) -> None:
    session = await log_in(client)
    session_id = session["refresh_token"].partition(".")[0]
    assert (await refresh(client, f"{session_id}.{'A' * 43}")).status == 401
    assert await is_alive(client, session["access_token"])
    assert (await refresh(client, session["refresh_token"])).status == 200
