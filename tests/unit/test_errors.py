from __future__ import annotations

import inspect
import json
import pickle
import re
from pathlib import Path

import pytest

from vecsearch import errors
from vecsearch.errors import QueryError, VecsearchError

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, VecsearchError)]


def drawn_tree() -> list[tuple[str, str, str]]:
    """Return (class, its parent, code) of every line of the drawing at the top of errors.py."""
    rows = []
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r" {4}((?:│   |    )*)(?:├── |└── )(\w+) +(\w+)(?: .*)?", line)
        if match:
            depth = len(match[1]) // 4 + 1
            del above[depth:]
            rows.append((match[2], above[-1], match[3]))
            above.append(match[2])
        elif re.fullmatch(r" {4}(\w+) +code", line):
            above = [line.split()[0]]
    return rows


def test_drawn_tree_is_the_real_one():
    real = [(cls.__name__, cls.__bases__[0].__name__, cls.code) for cls in CLASSES if cls is not VecsearchError]
    assert drawn_tree() == real


def test_codes_are_unique():
    codes = [cls.code for cls in CLASSES]
    assert len(set(codes)) == len(codes) == len(drawn_tree()) + 1


def test_every_error_is_public_here_and_at_the_top():
    import vecsearch

    names = {cls.__name__ for cls in CLASSES}
    assert set(errors.__all__) == names
    assert names <= set(vecsearch.__all__)
    assert all(getattr(vecsearch, name) is getattr(errors, name) for name in names)


def test_facts_are_attributes_and_stand_in_the_dict():
    error = QueryError("the query is empty", query="", k=3)
    assert (str(error), error.message, error.query, error.k) == ("the query is empty", "the query is empty", "", 3)
    assert error.to_dict() == {"error": "query", "message": "the query is empty", "query": "", "k": 3}


def test_dict_is_json_whatever_the_facts_are():
    error = VecsearchError("m", path=Path("a/b"), raw=b"x", many=(1, 2), nothing=None)
    assert json.loads(json.dumps(error.to_dict())) == {
        "error": "error",
        "message": "m",
        "path": str(Path("a/b")),
        "raw": "b'x'",
        "many": "(1, 2)",
        "nothing": None,
    }


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_error_survives_pickling(cls):
    error = pickle.loads(pickle.dumps(cls("message", name="x")))
    assert (type(error), str(error), error.name, error.to_dict()["error"]) == (cls, "message", "x", cls.code)
