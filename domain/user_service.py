"""The user service as tables: users, claims of email addresses, sessions."""

from typing import Any

from domain import session, streams, user
from domain.service import Category, Rule, Service, States, Written, recorded_in


def _register_reads(command: user.RegisterUser) -> tuple[str, ...]:
    return (streams.user(command.user_id), streams.email(command.email_digest))


def _decide_register(command: user.RegisterUser, states: States) -> Written:
    name, claim_name = _register_reads(command)
    registered, claimed = user.decide_register(states[name], states[claim_name], command)
    return ((name, registered), (claim_name, claimed))


def _user_only(command: Any) -> tuple[str, ...]:
    return (streams.user(command.user_id),)


def _decide_profile(command: user.ChangeProfile, states: States) -> Written:
    name = streams.user(command.user_id)
    return recorded_in(name, user.decide_profile(states[name], command))


def _decide_password(command: user.ChangePassword, states: States) -> Written:
    name = streams.user(command.user_id)
    return recorded_in(name, user.decide_password(states[name], command))


def _decide_role(command: user.GrantRole, states: States) -> Written:
    name = streams.user(command.user_id)
    return recorded_in(name, user.decide_role(states[name], command))


def _decide_log_out(command: user.LogOutEverywhere, states: States) -> Written:
    name = streams.user(command.user_id)
    return recorded_in(name, user.decide_log_out(states[name], command))


def _erase_reads(command: user.EraseUser) -> tuple[str, ...]:
    return (streams.user(command.user_id), streams.email(command.email_digest))


def _decide_erase(command: user.EraseUser, states: States) -> Written:
    name, claim_name = _erase_reads(command)
    decided = user.decide_erase(states[name], states[claim_name])
    if decided is None:
        return ()
    erased, released = decided
    return ((name, erased), *(() if released is None else ((claim_name, released),)))


def _session_only(command: Any) -> tuple[str, ...]:
    return (streams.session(command.session_id),)


def _open_reads(command: session.OpenSession) -> tuple[str, ...]:
    return (streams.session(command.session_id), streams.user(command.user_id))


def _decide_open(command: session.OpenSession, states: States) -> Written:
    name, user_name = _open_reads(command)
    return ((name, session.decide_open(states[user_name], command)),)


def _whose(command: session.RotateSession, states: States) -> tuple[str, ...]:
    return (streams.user(states[streams.session(command.session_id)].user_id),)


def _decide_rotate(command: session.RotateSession, states: States) -> Written:
    name = streams.session(command.session_id)
    (user_name,) = _whose(command, states)
    return ((name, session.decide_rotate(states[name], states[user_name], command)),)


def _decide_end(command: session.EndSession, states: States) -> Written:
    name = streams.session(command.session_id)
    return recorded_in(name, session.decide_end(states[name]))


USER = Service(
    log="user",
    categories={
        "user": Category(user.UNKNOWN, user.evolve),
        "email": Category(user.UNCLAIMED, user.evolve_claim),
        "session": Category(session.NONE, session.evolve),
    },
    rules={
        user.RegisterUser: Rule(_register_reads, _decide_register),
        user.ChangeProfile: Rule(_user_only, _decide_profile),
        user.ChangePassword: Rule(_user_only, _decide_password),
        user.GrantRole: Rule(_user_only, _decide_role),
        user.LogOutEverywhere: Rule(_user_only, _decide_log_out),
        user.EraseUser: Rule(_erase_reads, _decide_erase),
        session.OpenSession: Rule(_open_reads, _decide_open),
        session.RotateSession: Rule(_session_only, _decide_rotate, reads_then=_whose),
        session.EndSession: Rule(_session_only, _decide_end),
    },
)
