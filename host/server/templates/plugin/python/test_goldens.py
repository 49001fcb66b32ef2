"""Runs the goldens natively, with the bindings that `make test` writes: the same answers as in the sandbox.

A golden has the contract's types as JSON: fields in snake case, the cases of variants as "Rest" or {"Share": 5000}.
"""

import dataclasses
import json
import pathlib
import sys
import typing
import unittest

FOLDER = pathlib.Path(__file__).parent
sys.path.insert(0, str(FOLDER / "bindings"))

from componentize_py_types import Err  # noqa: E402
from wit_world.exports import rollout  # noqa: E402
import app  # noqa: E402

INPUTS = {"plan": rollout.PlanInput, "decide": rollout.Observation}


def read(kind, value):
    """A value of the contract's type `kind` from JSON."""
    options = typing.get_args(kind)
    if typing.get_origin(kind) is list:
        return [read(options[0], item) for item in value]
    if type(None) in options:
        return None if value is None else read(options[0], value)
    if options:
        case, content = (value, None) if isinstance(value, str) else next(iter(value.items()))
        option = next(option for option in options if option.__name__.split("_")[1] == case)
        hints = typing.get_type_hints(option)
        return option(read(hints["value"], content)) if hints else option()
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: read(hint, value[name]) for name, hint in hints.items()})
    return bytes(value) if kind is bytes else value


def write(value):
    """The JSON of a value."""
    if isinstance(value, list):
        return [write(item) for item in value]
    if isinstance(value, bytes):
        return list(value)
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: write(getattr(value, field.name)) for field in dataclasses.fields(value)}
    _, is_case, case = type(value).__name__.partition("_")
    if not is_case:
        return fields
    return {case: fields["value"]} if fields else case


def answer(call, value):
    if call == "validate":
        return write(app.Meta().validate(value))
    try:
        return {"Ok": write(getattr(app.Rollout(), call)(read(INPUTS[call], value)))}
    except Err as error:
        return {"Err": error.value}


class Goldens(unittest.TestCase):
    def test_goldens(self):
        files = sorted((FOLDER / "golden").glob("*.json"))
        self.assertTrue(files, "there are no goldens")
        for file in files:
            golden = json.loads(file.read_text())
            with self.subTest(golden=file.name):
                self.assertEqual(answer(golden["call"], golden["input"]), golden["expect"])


if __name__ == "__main__":
    unittest.main()
