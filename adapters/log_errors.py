"""Why a log could not be read."""


class LogUnreadable(Exception):
    """The log could not be read; the text says which and why, in one line."""


class LogDamaged(LogUnreadable):
    """An event in the log is not what any version of Tillroll writes; the text says where it stands."""
