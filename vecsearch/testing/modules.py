"""Checks of entry-point modules, and of everything that a plugin registers."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from vecsearch.errors import PluginConflictError, PluginError, PluginNotFoundError
from vecsearch.plugins import HOOKS, KINDS, Registry, build_manager, check_hook_names, check_registered
from vecsearch.testing.contract import ConformanceError, call, shown
from vecsearch.testing.embedders import check_embedder
from vecsearch.testing.encoders import check_encoder
from vecsearch.testing.loaders import check_loader
from vecsearch.testing.scorers import check_scorer
from vecsearch.testing.tokenizers import check_tokenizer

__all__ = ["check_plugin", "check_plugin_module"]

# `vecsearch --help` has loaded these already.
_LIGHT = {"vecsearch", "pluggy", "click"}

# Prints which modules the plugin's module adds to those that `from vecsearch import hookimpl` needs.
_IMPORT = """
import json, sys
name, sys.path[:] = sys.argv[1], json.loads(sys.argv[2])
from vecsearch import hookimpl
before = set(sys.modules)
__import__(name)
print()
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def check_plugin_module(module: ModuleType | str) -> None:
    """Check the module that an entry point names.

    Args:
        module: the module, or its name.

    Raises:
        ConformanceError: it holds anything but hooks; a hook is unknown, or not marked, or returns something else
            than classes with a name and a version; a name is taken by another installed plugin; importing the module
            in a fresh interpreter loads a package that ``vecsearch --help`` doesn't need, such as numpy.
    """
    name = module if isinstance(module, str) else module.__name__
    subject = f"plugin module {name}"
    _check_imports(subject, name)
    if isinstance(module, str):
        module = call(subject, f"import {name}", import_module, name)
    try:
        check_hook_names(module)
    except ImportError as error:
        raise ConformanceError(
            subject,
            "its hooks are those of vecsearch.hookspecs, each marked with @hookimpl",
            seen=str(error),
            given=f"import {name}",
            advice="compare the spelling with the hooks in docs/plugins.md",
        ) from None
    hooks = _hooks(module)
    others = sorted(
        key
        for key, value in vars(module).items()
        if isinstance(value, FunctionType | type)
        and value.__module__ == name
        and not any(value is hook for hook in hooks.values())
    )
    if others or not hooks:
        raise ConformanceError(
            subject,
            "it holds hook functions, and nothing else",
            seen=f"{', '.join(others)} defined in it" if others else "no hook",
            given=f"import {name}",
            advice="move classes and functions to modules of their own and import them inside the hooks",
        )
    registry = Registry()
    for kind, hook in hooks.items():
        _check_hook(f"{name}.{HOOKS[kind]}", kind, hook, registry)


def _hooks(module: ModuleType) -> dict[str, Callable[[], Any]]:
    hooks = {}
    for value in vars(module).values():
        options = getattr(value, "vecsearch_impl", None)
        if isinstance(options, dict):
            called = options.get("specname") or value.__name__
            hooks[next(kind for kind in KINDS if HOOKS[kind] == called)] = value
    return hooks


def _check_imports(subject: str, name: str) -> None:
    # A fresh interpreter: in this one numpy and the rest are loaded already.
    run = subprocess.run(  # noqa: S603 (the program is this Python, and the text of it stands above)
        [sys.executable, "-c", _IMPORT, name, json.dumps(sys.path)], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise ConformanceError(
            subject,
            "it can be imported in a fresh interpreter",
            seen=run.stderr.strip().splitlines()[-1] if run.stderr.strip() else f"exit {run.returncode}",
            given=f'python -c "import {name}"',
            advice="install the package first (pip install -e .); import what may be missing inside the hooks",
        )
    loaded = {module.partition(".")[0] for module in json.loads(run.stdout.splitlines()[-1])}
    heavy = sorted(loaded - set(sys.stdlib_module_names) - _LIGHT - {name.partition(".")[0]})
    if heavy:
        raise ConformanceError(
            subject,
            "importing it loads nothing beyond the standard library, vecsearch and its own package, "
            "because `vecsearch --help` imports it too",
            seen=f"it loads {', '.join(heavy)}",
            given=f'python -c "import {name}"',
            advice="import classes inside the hook functions; keep the package's __init__.py light as well",
        )


def _check_hook(subject: str, kind: str, hook: Callable[[], Any], registry: Registry) -> None:
    if inspect.signature(hook).parameters:
        raise ConformanceError(
            subject,
            "a hook takes no arguments",
            seen=f"it takes {inspect.signature(hook)}",
            given="()",
            advice="remove its parameters",
        )
    try:
        registered = check_registered(kind, call(subject, "()", hook))
    except PluginError as error:
        raise ConformanceError(
            subject,
            "a hook returns a list of classes (or click commands), each with a name of its own and a version",
            seen=str(error),
            given="()",
            advice="return the classes themselves, never instances",
        ) from None
    for name, value in registered.items():
        try:
            installed = registry.get(kind, name)
        except PluginNotFoundError:
            continue  # not installed yet: nothing to collide with
        except PluginConflictError as error:
            seen = str(error)
        else:
            if installed is value or kind == "command":
                continue
            seen = f"{name!r} is {installed.__module__}.{installed.__qualname__} already"
        raise ConformanceError(
            subject,
            f"no other installed plugin has a {kind} of the same name",
            seen=seen,
            given="()",
            advice="choose another name, for example with your package's name before it",
        )


def check_plugin(
    name: str,
    *,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    files: Mapping[str, Mapping[str, bytes]] | None = None,
) -> list[str]:
    """Check everything that an installed plugin registers.

    Args:
        name: of its entry point, or of its distribution (then all its entry points are checked).
        configs: by the name of a class, arguments for its check: those of the constructor where it has any that
            must be given, and those of the check itself, such as ``dims``.
        files: sample files by the name of a loader; see ``check_loader``.

    Returns:
        What was checked, such as ``["plugin tokenizers", "tokenizer word", …]``.

    Raises:
        ConformanceError: something breaks its contract.
        ValueError: no such plugin is installed, or it is broken; or ``configs`` lacks a class that needs one.
    """
    configs, files = configs or {}, files or {}
    loaded = build_manager()
    chosen = [
        plugin
        for plugin, distribution in loaded.distributions.items()
        if name in (plugin, plugin.partition(":")[2], distribution.partition(" ")[0])
    ]
    if not chosen:
        broken = [error.message for error in loaded.errors]
        raise ValueError(
            f"no plugin and no distribution is called {name!r}; plugins: {', '.join(loaded.distributions) or 'none'}"
            + "".join(f"; {message}" for message in broken)
        )
    checked = []
    for plugin in chosen:
        module = loaded.manager.get_plugin(plugin)
        if not isinstance(module, ModuleType):
            raise ConformanceError(
                f"plugin {plugin}",
                "its entry point names a module",
                seen=shown(module),
                given=plugin,
                advice='write `name = "package.module"` in the entry points, without ":"',
            )
        check_plugin_module(module)
        checked.append(f"plugin {plugin}")
        for kind, hook in _hooks(module).items():
            for value in check_registered(kind, hook()).values():
                if kind == "command":
                    continue
                _check_class(kind, value, configs.get(value.name), files.get(value.name))
                checked.append(f"{kind} {value.name}")
    return checked


def _check_class(
    kind: str, cls: type[Any], config: Mapping[str, Any] | None, files: Mapping[str, bytes] | None
) -> None:
    required = [
        parameter.name
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    missing = [name for name in required if name not in (config or {})]
    if missing:
        raise ValueError(
            f"{kind} {cls.name!r} can't be made without {', '.join(missing)}; "
            f"give configs={{{cls.name!r}: {{{missing[0]!r}: …}}}}"
        )
    arguments = dict(config or {})
    if kind == "loader":
        check_loader(cls, files=files, **arguments)
        return
    checks: dict[str, Callable[..., None]] = {
        "tokenizer": check_tokenizer,
        "embedder": check_embedder,
        "encoder": check_encoder,
        "scorer": check_scorer,
    }
    checks[kind](cls, **arguments)
