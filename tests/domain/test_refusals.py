"""Refusals: each has a name of its own for programs and a message for people."""

import re

from domain import refusals
from domain.refusals import Refusal


def leaves(kind: type[Refusal]) -> list[type[Refusal]]:
    below = kind.__subclasses__()
    return [leaf for sub in below for leaf in leaves(sub)] if below else [kind]


def shipped() -> list[type[Refusal]]:
    return [leaf for leaf in leaves(Refusal) if leaf.__module__ == refusals.__name__]


def test_every_refusal_has_a_name_of_its_own() -> None:
    names = [leaf.name for leaf in shipped()]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names), names
    assert "refused" not in names


def test_every_refusal_says_its_docstring() -> None:
    assert [leaf.__name__ for leaf in shipped() if not str(leaf()).endswith(".")] == []
    assert str(refusals.CartEmpty()) == "No line of the cart is checked, so there is nothing to order."


def test_a_refusal_carries_its_facts() -> None:
    assert refusals.WrongAmount(expected=2, got=1).facts == {"expected": 2, "got": 1}


def test_the_tree_in_the_docstring_names_every_refusal() -> None:
    drawn = set(re.findall(r"\b[A-Z]\w+", refusals.__doc__ or ""))

    assert {leaf.__name__ for leaf in shipped()} <= drawn
