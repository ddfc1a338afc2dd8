"""Whose an email address is. The key for personal data is needed to find out."""

from collections.abc import Mapping

from adapters import user_email
from adapters.pii_key_file import pii_key_path, read_pii_keys
from adapters.settings import Settings
from adapters.story_reader import StoryReader
from domain import streams


def user_of_email(dsns: Mapping[str, str], settings: Settings, email: str) -> int:
    """0 when nobody has this address now. Raises KeyFileError without the key that names addresses."""
    key = read_pii_keys(pii_key_path(settings)).email
    name = streams.email(user_email.digest(email, key))
    user_id = 0
    for recorded in StoryReader(dsns["user"], "user").read_stream(name):
        user_id = getattr(recorded.event, "user_id", 0)
    return user_id
