"""What of an error fits into one line."""


def first_line(error: BaseException) -> str:
    """PostgreSQL's errors go on for lines, with the statement in them; empty where there is no message."""
    return str(error).partition("\n")[0]
