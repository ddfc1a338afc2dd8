"""A purchase rule out of a file of the operator's own. It is run here, with all that this process may do."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from orchestrator.what_if_rule import Rule

MODULE_NAME: Final = "tillroll_purchase_rule"


class BadRule(Exception):
    """There is no such rule; the text says why, in one line."""


def load_rule(text: str) -> Rule:
    """`text`: FILE.py:FUNCTION. Raises BadRule."""
    file, colon, name = text.rpartition(":")
    if not (colon and file and name.isidentifier()):
        raise BadRule(f"--rule {text[:80]!r}: expected FILE.py:FUNCTION")
    rule = getattr(_run(Path(file)), name, None)
    if not callable(rule):
        raise BadRule(f"--rule: {file} has no function {name}")
    loaded: Rule = rule
    return loaded


def _run(file: Path) -> ModuleType:
    try:
        file.read_bytes()
    except OSError as error:
        raise BadRule(f"--rule: {file} cannot be read: {error.strerror}") from error
    spec = importlib.util.spec_from_file_location(MODULE_NAME, file)
    if spec is None or spec.loader is None:
        raise BadRule(f"--rule: {file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses of the file look for what their annotations name.
    sys.modules[MODULE_NAME] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        # It is somebody else's code: whatever it raises, the operator is told in one line.
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise BadRule(f"--rule: {file} broke: {what}") from error
    return module
