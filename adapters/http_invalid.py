"""What is wrong with a request, field by field, in words that need no knowledge of our libraries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.http_fields import PATTERNS


@dataclass(frozen=True, slots=True)
class Wrong:
    """`where`: such as `body.items[3].goods_id`. `what`: what is wrong, or was expected."""

    where: str
    what: str


Error = Mapping[str, Any]

_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "json_invalid": lambda ctx: f"is not JSON: {ctx['error']}",
    "missing": lambda _: "is missing",
    "extra_forbidden": lambda _: "is not a known field",
    "int_type": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "int_parsing": lambda _: "must be a whole number",
    "int_parsing_size": lambda _: "is too large a number",
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "string_type": lambda _: "must be text",
    "string_unicode": lambda _: "must be valid Unicode text",
    "list_type": lambda _: "must be a list",
    "model_type": lambda _: "must be an object",
    "model_attributes_type": lambda _: "must be an object",
    "dict_type": lambda _: "must be an object",
    "greater_than_equal": lambda ctx: f"must be at least {ctx['ge']}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']}",
    "string_too_short": lambda ctx: f"must have {_at_least(ctx['min_length'], 'character')}",
    "string_too_long": lambda ctx: f"must have at most {ctx['max_length']} characters",
    "too_short": lambda ctx: f"must have {_at_least(ctx['min_length'], 'item')}",
    "too_long": lambda ctx: f"must have at most {ctx['max_length']} items",
    "string_pattern_mismatch": lambda ctx: PATTERNS[ctx["pattern"]],
    "value_error": lambda ctx: str(ctx["error"]),
    "enum": lambda ctx: f"must be one of {ctx['expected']}",
    "literal_error": lambda ctx: f"must be one of {ctx['expected']}",
}


def is_malformed_json(errors: Sequence[Error]) -> bool:
    return any(error["type"] == "json_invalid" for error in errors)


def in_plain_words(error: Error) -> Wrong:
    """One error of pydantic's. What was sent is not repeated: it may be a password."""
    words = _WORDS.get(error["type"])
    what = str(error["msg"]) if words is None else words(error.get("ctx", {}))
    if error["type"] == "json_invalid":
        return Wrong("body", f"{what} at character {error['loc'][-1]}")
    return Wrong(_where(error["loc"]), what)


def _where(loc: Sequence[str | int]) -> str:
    names = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return "".join(names).removeprefix(".")


def _at_least(count: int, what: str) -> str:
    return f"at least {count} {what}" + ("" if count == 1 else "s")
