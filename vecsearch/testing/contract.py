"""What all checks share: the error, the class contract of ``vecsearch.protocols.Plugin``, shrinking, threads."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vecsearch.errors import PluginError
from vecsearch.plugins import check_registered
from vecsearch.testing.advice import on_error, on_missing

__all__ = [
    "ConformanceError",
    "build",
    "call",
    "check_array",
    "check_in_threads",
    "check_methods",
    "on_smallest_text",
    "shown",
    "unchanged",
]

Result = TypeVar("Result")


class ConformanceError(AssertionError):
    """A plugin breaks its contract.

    Attributes:
        subject: the class, or the method.
        contract: what the contract says.
        seen: what was seen instead.
        given: the smallest input found that shows it.
        advice: what to do.
    """

    def __init__(self, subject: str, contract: str, *, seen: str, given: str, advice: str) -> None:
        super().__init__(f"{subject}: {contract}\n    seen:  {seen}\n    with:  {given}\n    to do: {advice}")
        self.subject = subject
        self.contract = contract
        self.seen = seen
        self.given = given
        self.advice = advice


def shown(value: object, limit: int = 300) -> str:
    """Return a value as Python would write it, cut to a readable length."""
    if isinstance(value, np.ndarray):
        body = np.array2string(value, threshold=12, precision=6, separator=", ").replace("\n", "")
        return f"{value.dtype} {value.shape} {body}"[:limit]
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def call(subject: str, given: str, function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a plugin; whatever it raises becomes a ``ConformanceError``."""
    try:
        return function(*arguments)
    except Exception as error:
        raise ConformanceError(
            subject,
            "it must not raise",
            seen=f"{type(error).__name__}: {error}",
            given=given,
            advice=on_error(subject, error),
        ) from error


def build(kind: str, cls: type[Any], config: Mapping[str, Any]) -> Any:
    """Return an instance, after checking name, version, constructor, configuration and files."""
    subject = f"{kind} {getattr(cls, '__qualname__', type(cls).__qualname__)}"
    if not isinstance(cls, type):
        raise ConformanceError(
            subject,
            "what is checked is a class",
            seen=f"{shown(cls)} (a {type(cls).__name__})",
            given=f"check_{kind}({shown(cls)})",
            advice=f"give the class itself, and its arguments by keyword: check_{kind}({type(cls).__name__}, …); "
            "the check makes the instances",
        )
    try:
        check_registered(kind, [cls])
    except PluginError as error:
        raise ConformanceError(
            subject,
            "a plugin class has a name and a version, both strings",
            seen=str(error),
            given=f"{cls!r}",
            advice='write `name: ClassVar[str] = "…"` and `version: ClassVar[str] = "1"` in the class',
        ) from None
    made_with = f"{cls.__qualname__}({_arguments(config)})"
    parameters = _check_constructor(subject, cls, config, made_with)
    plugin = call(f"{subject}.__init__", made_with, lambda: cls(**config))
    _check_config(subject, plugin, config, parameters, made_with)
    return plugin


def _arguments(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in config.items())


def _check_constructor(subject: str, cls: type[Any], config: Mapping[str, Any], made_with: str) -> list[str]:
    parameters = list(inspect.signature(cls).parameters.values())
    for parameter in parameters:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise ConformanceError(
                f"{subject}.__init__",
                "it takes keyword arguments only",
                seen=f"a parameter that can't be given by keyword: {parameter}",
                given=made_with,
                advice="write `def __init__(self, *, …)`",
            )
    try:
        cls(**config, no_such_setting=1)
    except Exception:  # any refusal will do
        return [parameter.name for parameter in parameters if parameter.kind != parameter.VAR_KEYWORD]
    raise ConformanceError(
        f"{subject}.__init__",
        "a keyword that it doesn't know is refused, never dropped",
        seen="it accepted no_such_setting=1",
        given=f"{cls.__qualname__}({_arguments({**config, 'no_such_setting': 1})})",
        advice="name every setting in the signature instead of taking **kwargs",
    )


def _check_config(subject: str, plugin: Any, config: Mapping[str, Any], parameters: list[str], made_with: str) -> None:
    check_methods(subject, plugin, ["config", "files"])
    own = call(f"{subject}.config", made_with, lambda: plugin.config)
    where = f"{subject}.config"
    contract = "it is a dict of the constructor's arguments, defaults filled in, that JSON gives back unchanged"
    if not isinstance(own, Mapping):
        raise ConformanceError(
            where, contract, seen=shown(own), given=made_with, advice="make `config` a property that returns a dict"
        )
    own = dict(own)
    if missing := [name for name in parameters if name not in own]:
        raise ConformanceError(
            where,
            contract,
            seen=f"{own!r}, without {', '.join(missing)}",
            given=made_with,
            advice="return every argument of the constructor; an index could not be opened again without them",
        )
    try:
        plain = json.loads(json.dumps(own, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConformanceError(
            where,
            contract,
            seen=f"{own!r}: {error}",
            given=made_with,
            advice="keep numbers, strings, booleans, None, lists and dicts only; write a path as a string",
        ) from error
    if plain != own:
        raise ConformanceError(
            where,
            contract,
            seen=f"{own!r}, which JSON gives back as {plain!r}",
            given=made_with,
            advice="return lists instead of tuples, and strings as keys",
        )
    files = _check_files(subject, plugin, made_with)
    for key, value in config.items():
        if own.get(key) != value and key not in files:
            raise ConformanceError(
                where,
                "an argument that was given is kept, never ignored",
                seen=f"{key}={own.get(key)!r}",
                given=made_with,
                advice=f"store {key} and return it, or raise a ValueError for a value that it can't take",
            )
    again_with = f"{type(plugin).__qualname__}({_arguments(own)})"
    again = call(f"{subject}.__init__", again_with, lambda: type(plugin)(**own))
    if dict(again.config) != own:
        raise ConformanceError(
            where,
            "type(plugin)(**plugin.config) is the same plugin",
            seen=f"{dict(again.config)!r}, made with {own!r}",
            given=made_with,
            advice="let config return what the constructor takes, in the same form",
        )


def _check_files(subject: str, plugin: Any, made_with: str) -> dict[str, str]:
    where = f"{subject}.files"
    files = call(where, made_with, lambda: plugin.files)
    if not isinstance(files, Mapping):
        raise ConformanceError(
            where,
            "it is a dict from a configuration key, or another word, to the path of a file that is read",
            seen=shown(files),
            given=made_with,
            advice="return {} where no file is read",
        )
    for key, path in files.items():
        if not isinstance(path, str) or not Path(path).is_file():
            raise ConformanceError(
                where,
                "it names the files that are read, each by a string, and each is there",
                seen=f"{key!r}: {path!r}, which is not {'a file' if isinstance(path, str) else 'a string'}",
                given=made_with,
                advice="return str(path) of the file itself; an index records its SHA-256",
            )
    return dict(files)


def check_methods(subject: str, plugin: object, names: Sequence[str]) -> None:
    """Check that a plugin has every attribute of its protocol."""
    missing = []
    for name in names:
        # subtle: hasattr(plugin, …) alone would take a property that raises for one that is not there.
        is_there = hasattr(type(plugin), name) or name in getattr(plugin, "__dict__", {})
        if not is_there or call(f"{subject}.{name}", "()", getattr, plugin, name) is None:
            missing.append(name)
    if missing:
        raise ConformanceError(
            subject,
            f"it has {', '.join(names)}",
            seen=f"it lacks {', '.join(missing)}",
            given=repr(type(plugin)),
            advice=on_missing(subject, missing),
        )


def check_array(
    subject: str,
    what: str,
    array: object,
    dtype: npt.DTypeLike | None,
    shape: tuple[int | None, ...],
    given: str,
    *,
    on_shape: str = "return one row for each element of the flat batch, and an empty array of this shape for none",
    on_nan: str = "guard divisions and logarithms against 0, e.g. np.divide(…, where=norms > 0)",
) -> None:
    """Check an array's type and shape (None: any length; a dtype of None: any floating type), and that it is finite.

    ``on_shape`` and ``on_nan`` are the advice where its shape is wrong, or it isn't finite.
    """
    name = "float32" if dtype is None else str(np.dtype(dtype))
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    wanted = f"{'floating' if dtype is None else name} ({sizes})"
    if not isinstance(array, np.ndarray):
        raise ConformanceError(
            subject,
            f"{what} is a numpy array, {wanted}",
            seen=f"{shown(array)} (a {type(array).__name__})",
            given=given,
            advice=f"return np.array(…, dtype=np.{name})",
        )
    if (array.dtype.kind != "f") if dtype is None else (array.dtype != np.dtype(dtype)):
        raise ConformanceError(
            subject,
            f"{what} is {wanted}",
            seen=f"dtype {array.dtype}",
            given=given,
            advice=f"convert with .astype(np.{name}, copy=False)",
        )
    if array.ndim != len(shape) or any(size not in (None, seen) for size, seen in zip(shape, array.shape, strict=True)):
        raise ConformanceError(
            subject,
            f"{what} is {wanted}",
            seen=f"shape {array.shape}",
            given=given,
            advice=on_shape,
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = tuple(int(axis[0]) for axis in np.nonzero(~np.isfinite(array)))
        raise ConformanceError(
            subject,
            f"{what} is finite",
            seen=f"{array[place]} at {place}",
            given=given,
            advice=on_nan,
        )


def unchanged(subject: str, what: str, before: object, now: object, given: str) -> None:
    """Check that an input is what it was."""
    same = (
        np.array_equal(before, now) if isinstance(before, np.ndarray) and isinstance(now, np.ndarray) else before == now
    )
    if not same:
        raise ConformanceError(
            subject,
            "inputs are never changed in place",
            seen=f"{what} was {shown(before)} and is now {shown(now)}",
            given=given,
            advice=f"work on a copy of {what}, or write into a new array",
        )


def on_smallest_text(text: str, check: Callable[[str], None]) -> None:
    """Run a check on a text; where it fails, raise for the smallest part of the text that breaks the same contract."""
    try:
        check(text)
    except ConformanceError as error:
        raise _smallest(text, check, error) from error.__cause__


def _smallest(text: str, check: Callable[[str], None], error: ConformanceError) -> ConformanceError:
    size, budget = max(1, len(text) // 2), 1_000
    while size and budget > 0:
        start = 0
        while start < len(text) and budget > 0:
            shorter = text[:start] + text[start + size :]
            budget -= 1
            try:
                check(shorter)
            except ConformanceError as other:
                if other.contract == error.contract:
                    text, error = shorter, other
                    continue
            start += size
        size //= 2
    return error


def check_in_threads(
    subject: str, given: str, runs: Sequence[Callable[[], Result]], same: Callable[[Result, Result], bool]
) -> None:
    """Check that runs give the same results when two threads interleave them."""
    expected = [run() for run in runs]

    def rounds(order: Sequence[int]) -> list[tuple[int, Result]]:
        return [(number, call(subject, f"{given}, in a thread", runs[number])) for _ in range(3) for number in order]

    forwards = range(len(runs))
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(rounds, forwards), pool.submit(rounds, forwards[::-1])]:
            for number, result in future.result():
                if not same(result, expected[number]):
                    raise ConformanceError(
                        subject,
                        "two threads may use one instance at once",
                        seen=f"{shown(result)} in a thread, {shown(expected[number])} alone",
                        given=given,
                        advice="keep what a call works on in local variables, not in attributes; lock shared caches",
                    )
