"""The shape of an event as one line of text: names, order and types of all that is stored, nested too."""

from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

WORDS: dict[Any, str] = {
    int: "int",
    str: "text",
    bool: "bool",
    datetime: "time",
    type(None): "null",
}


def shape_of(kind: Any) -> str:
    """`{lines: [{goods_id: int, nums: int}], note?: text | null}`; a `?` is a field that may be missing.

    Raises KeyError for a type that no event has had so far: give it a word.
    """
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return (
            "{" + ", ".join(f"{_name(field)}: {shape_of(hints[field.name])}" for field in fields(kind)) + "}"
        )
    if get_origin(kind) is tuple:
        return f"[{shape_of(get_args(kind)[0])}]"
    if get_origin(kind) in (UnionType, Union):
        return " | ".join(map(shape_of, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {' '.join(str(member.value) for member in kind)}"
    return WORDS[kind]


def _name(field: "Field[Any]") -> str:
    may_be_missing = field.default is not MISSING or field.default_factory is not MISSING
    return f"{field.name}?" if may_be_missing else field.name
