"""Users and sessions: register, log in, refresh, log out, profiles, roles."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from adapters.http_bodies import LogIn, NewUser, ProfileChange, Refresh, RoleChange
from adapters.http_call import Call, GuardedRoute, answer
from adapters.http_documents import documents
from adapters.http_fields import Everywhere, PathId
from adapters.http_models import SessionAnswer, UserAnswer
from adapters.personal_data import Profile
from adapters.user_attempts import TooManyAttempts
from adapters.user_desk import NewPassword, Registration, Seen
from adapters.user_passwords import BadCredentials
from adapters.user_sessions import SignedIn
from domain.refusals import EmailTaken, NoSuchUser, OwnRole
from domain.user import ChangeProfile, Role

LOG = "user"

router = APIRouter(route_class=GuardedRoute, tags=["users"])


@router.post("/v1/users", **documents("Register", UserAnswer, 201, refuses=(EmailTaken,)))
async def register(call: Call, body: NewUser) -> Response:
    user_id = await call.parts.new_user_id()
    new = Registration(user_id, body.email, body.password, body.nickname, body.gender)
    seen = await call.parts.desk.register(new)
    return answer(_user(seen.profile), 201, await call.wrote(LOG, seen.position, by=user_id))


@router.get("/v1/users/me", **documents("Your profile", UserAnswer))
async def profile(call: Call) -> Response:
    return answer(_user(await call.parts.desk.profile(call.caller.user_id)))


@router.patch(
    "/v1/users/me",
    **documents("Change your profile or password", UserAnswer, refuses=(BadCredentials, TooManyAttempts)),
)
async def change_profile(call: Call, body: ProfileChange) -> Response:
    desk = call.parts.desk
    change = ChangeProfile(call.caller.user_id, body.nickname, body.gender)
    if body.password is not None and body.current_password is not None:
        claims = call.caller.claims
        password = NewPassword(body.current_password, body.password, claims.session_id, call.host)
        seen = await desk.change_password(change, password)
    else:
        seen = await desk.change_profile(change)
    return await _seen(call, seen)


@router.delete("/v1/users/me", **documents("Erase your account and all that is personal", None, 204))
async def erase(call: Call) -> Response:
    """Orders under way are carried out; what is personal about them goes when they end."""
    user_id = call.caller.user_id
    position = await call.parts.desk.erase(user_id, by=call.caller.name)
    await call.parts.eraser.finish(user_id)
    return Response(status_code=204, headers=await call.wrote(LOG, position))


@router.get("/v1/users/{user_id}", **documents("A user", UserAnswer, refuses=(NoSuchUser,)))
async def user(call: Call, user_id: PathId) -> Response:
    return answer(_user(await call.parts.desk.profile(user_id)))


@router.patch("/v1/users/{user_id}", **documents("Give a role", UserAnswer, refuses=(NoSuchUser, OwnRole)))
async def grant_role(call: Call, user_id: PathId, body: RoleChange) -> Response:
    seen = await call.parts.desk.grant_role(user_id, Role(body.role), by=call.caller.user_id)
    return await _seen(call, seen)


@router.post(
    "/v1/sessions", **documents("Log in", SessionAnswer, 201, refuses=(BadCredentials, TooManyAttempts))
)
async def log_in(call: Call, body: LogIn) -> Response:
    return await _signed_in(
        call, await call.parts.sessions.log_in(body.email, body.password, host=call.host), 201
    )


@router.post(
    "/v1/sessions/refresh",
    **documents("A new pair of tokens for a refresh token", SessionAnswer, refuses=(BadCredentials,)),
)
async def refresh(call: Call, body: Refresh) -> Response:
    return await _signed_in(call, await call.parts.sessions.refresh(body.refresh_token), 200)


@router.delete("/v1/sessions", **documents("Log out", None, 204))
async def log_out(
    call: Call,
    everywhere: Everywhere = False,
) -> Response:
    sessions = call.parts.sessions
    end = sessions.log_out_everywhere if everywhere else sessions.log_out
    position = await end(call.caller.claims)
    return Response(status_code=204, headers=await call.wrote(LOG, position))


async def _seen(call: Call, seen: Seen) -> Response:
    return answer(_user(seen.profile), 200, await call.wrote(LOG, seen.position))


async def _signed_in(call: Call, signed_in: SignedIn, status: int) -> Response:
    content = {
        "access_token": signed_in.access.token,
        "access_expires_at": signed_in.access.expires_at,
        "refresh_token": signed_in.refresh_token,
        "refresh_expires_at": signed_in.refresh_expires_at,
        "user": _user(signed_in.profile),
    }
    headers = await call.wrote(LOG, signed_in.position, by=signed_in.profile.user_id)
    return answer(content, status, headers)


def _user(profile: Profile) -> dict[str, Any]:
    return {
        "user_id": profile.user_id,
        "email": profile.email,
        "nickname": profile.nickname,
        "gender": profile.gender,
        "role": int(profile.role),
    }
