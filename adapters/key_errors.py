"""Why a key could not be used."""


class KeyFileError(Exception):
    """The key file is missing or not usable; the message says which file, and why."""
