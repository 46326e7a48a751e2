"""Finds plugins and the classes they register.

``build_manager`` makes a fresh pluggy manager: entry points load one by one, each failure is kept as a
``PluginLoadError`` that names the distribution, hook names are checked. ``Registry`` calls the hooks, one kind at a
time and only when that kind is needed. Load order never decides anything: classes of one kind with one name are all
set aside as a conflict, which harms no other name.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pluggy

from vecsearch import hookspecs
from vecsearch.errors import (
    PluginConflictError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
    UsageError,
    VecsearchError,
)

if TYPE_CHECKING:
    import click

__all__ = [
    "DISABLE",
    "GROUP",
    "HOOKS",
    "KINDS",
    "Installed",
    "Loaded",
    "Registry",
    "build_manager",
    "check_hook_names",
    "check_registered",
]

GROUP = "vecsearch"
DISABLE = "VECSEARCH_DISABLE_PLUGINS"
KINDS = ("tokenizer", "embedder", "encoder", "scorer", "loader", "command")
HOOKS = {kind: f"vecsearch_register_{kind}s" for kind in KINDS}

# The sign ":" parts a name from its configuration in "name:key=value,key=value".
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True)
class Installed:
    """One line of ``vecsearch plugins``.

    A registered class, or one that shares its name with another (``error`` is then set), or, of the kind
    ``"broken"``, a plugin that failed, with its error.
    """

    kind: str
    name: str
    version: str
    plugin: str
    distribution: str
    error: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """Return the attributes by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class Loaded:
    """What ``build_manager`` found.

    Attributes:
        manager: holds the modules of all plugins that could be loaded, by plugin name.
        distributions: name and version of the distribution of each of them, by plugin name.
        errors: one for each plugin that could not be loaded; ``facts`` hold ``plugin`` and ``distribution``.
    """

    manager: pluggy.PluginManager
    distributions: dict[str, str] = field(default_factory=dict)
    errors: list[PluginLoadError] = field(default_factory=list)


@dataclass(frozen=True)
class _Registered:
    value: Any
    plugin: str
    distribution: str


@dataclass(frozen=True)
class _Kind:
    found: Mapping[str, _Registered]
    conflicts: Mapping[str, Sequence[_Registered]]
    errors: Sequence[PluginError]


def build_manager(disabled: Iterable[str] | None = None) -> Loaded:
    """Load every entry point of the group ``vecsearch`` into a fresh manager.

    A plugin is called by the name of its entry point. Where two distributions use one name both plugins are loaded,
    each called ``distribution:name``.

    Args:
        disabled: plugins to leave out, each as ``name`` or ``distribution:name``; by default those of
            ``VECSEARCH_DISABLE_PLUGINS`` (comma-separated).

    Returns:
        The manager, the distribution of each plugin by name, and an error for each that could not be loaded.
    """
    if disabled is None:
        disabled = os.environ.get(DISABLE, "").split(",")
    left_out = {name.strip() for name in disabled}
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    loaded = Loaded(manager)
    for name, distribution, points in _plugins(left_out):
        try:
            if len(points) > 1:
                values = " and ".join(sorted(point.value for point in points))
                raise ImportError(f"its distribution gives that entry point more than once: {values}")
            module = points[0].load()
            check_hook_names(module)
            if manager.get_name(module) is not None:
                raise ImportError(f"its module {points[0].value} is already the plugin {manager.get_name(module)!r}")
            try:
                manager.register(module, name)
            except Exception:
                # subtle: pluggy below 1.7 keeps the hooks it had read before the one that it refuses.
                manager.unregister(name=name)
                raise
        except (Exception, SystemExit) as error:  # whatever a stranger's module raises, the others go on
            loaded.errors.append(
                PluginLoadError(
                    f"plugin {name!r} of {distribution} could not be loaded: {_in_words(error)}; "
                    f"mend or uninstall it, or leave it out with {DISABLE}={name}",
                    plugin=name,
                    distribution=distribution,
                )
            )
            continue
        loaded.distributions[name] = distribution
    manager.check_pending()
    return loaded


def _plugins(left_out: set[str]) -> Iterator[tuple[str, str, list[metadata.EntryPoint]]]:
    """Yield name, distribution and entry points (one, unless its metadata is wrong) of every plugin, by name."""
    # A distribution that stands on the path twice (editable and installed) gives equal points: they fall together.
    found: dict[tuple[str, str], dict[str, metadata.EntryPoint]] = {}
    shown: dict[str, str] = {}
    read: dict[int, tuple[str, str]] = {}
    for point in metadata.entry_points(group=GROUP):
        if id(point.dist) not in read:  # its metadata is parsed anew, README and all, whenever it is asked for
            read[id(point.dist)] = _distribution(point)
        distribution, with_version = read[id(point.dist)]
        shown.setdefault(distribution, with_version)
        found.setdefault((point.name, distribution), {})[point.value] = point
    names = [name for name, _ in found]
    for (name, distribution), points in sorted(found.items()):
        full_name = f"{distribution}:{name}"
        if name not in left_out and full_name not in left_out:
            yield full_name if names.count(name) > 1 else name, shown[distribution], list(points.values())


def _distribution(point: metadata.EntryPoint) -> tuple[str, str]:
    """Return the normalised name of an entry point's distribution, and its name with its version."""
    try:
        assert point.dist is not None
        facts = point.dist.metadata
        name, version = facts["Name"], facts["Version"]
        return re.sub(r"[-_.]+", "-", name).lower(), f"{name} {version}"
    except Exception:  # a folder of metadata without its METADATA file; what is raised differs between Pythons
        return "unknown", "an unknown distribution"


def check_hook_names(module: object) -> None:
    """Raise an ImportError where a plugin's module has a hook that would never be called.

    That is one whose name is not among the hooks, or one that lacks ``@hookimpl``.
    """
    # subtle: pluggy's own check_pending() would blame the first unknown hook of all plugins and stop there;
    # asked one module at a time, a misspelt hook breaks only the plugin that has it.
    known = sorted(HOOKS.values())
    for attribute in dir(module):
        value = getattr(module, attribute, None)
        options = getattr(value, f"{GROUP}_impl", None)
        if isinstance(options, dict):
            hook = options.get("specname") or attribute
            if hook not in known:
                raise ImportError(f"it implements an unknown hook {hook!r}; known hooks: {', '.join(known)}")
        elif attribute.startswith(f"{GROUP}_register_") and callable(value):
            raise ImportError(f"its function {attribute!r} is not marked as a hook; put @hookimpl above it")


def check_registered(kind: str, values: object) -> dict[str, Any]:
    """Return what a hook returned, by name.

    Args:
        kind: one of ``KINDS``.
        values: a sequence of classes with ``name`` and ``version``; for commands, of click commands.

    Raises:
        PluginError: it is anything else, or has one name twice.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        wanted = "click commands" if kind == "command" else "classes"
        raise PluginError(f"{HOOKS[kind]} returned {_shown(values)}; it must return a list of {wanted}")
    named: dict[str, Any] = {}
    for value in values:
        name = _checked_name(kind, value)
        if name in named and named[name] is not value:
            raise PluginError(f"{HOOKS[kind]} returned two {kind}s called {name!r}")
        named[name] = value
    return named


def _checked_name(kind: str, value: Any) -> str:
    if kind == "command":
        import click

        if not isinstance(value, click.Command):
            raise PluginError(
                f"{HOOKS[kind]} returned {_shown(value)} in its list; only click commands may stand there"
            )
    elif not isinstance(value, type):
        raise PluginError(f"{HOOKS[kind]} returned {_shown(value)} in its list; only classes may stand there")
    name = getattr(value, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError(
            f"{_shown(value)} has the name {name!r}; every {kind} needs an attribute `name`: a string of "
            "lower-case letters, digits and . _ -"
        )
    if kind != "command":
        version = getattr(value, "version", None)
        if not isinstance(version, str) or not version:
            raise PluginError(
                f"{_shown(value)} has the version {version!r}; every {kind} needs a class attribute `version`: "
                "a string that changes whenever its output does"
            )
    return name


def _shown(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__module__}.{value.__qualname__}"
    return f"{value!r:.80} (a {type(value).__name__})"


def _in_words(error: BaseException) -> str:
    message = " ".join(str(error).split())
    if isinstance(error, PluginError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


class Registry:
    """The classes of all installed plugins, by kind and name.

    Each hook is called at most once, when its kind is first asked for. May be shared by threads.

    Args:
        disabled: plugins to leave out; see ``build_manager``.
    """

    def __init__(self, disabled: Iterable[str] | None = None) -> None:
        self.loaded = build_manager(disabled)
        self._kinds: dict[str, _Kind] = {}
        self._lock = threading.RLock()

    def names(self, kind: str) -> list[str]:
        """Return the names that ``get`` finds for a kind, sorted.

        Raises:
            UsageError: there is no such kind; names those that there are.
        """
        return sorted(self._kind(kind).found)

    def get(self, kind: str, name: str) -> type[Any]:
        """Return the class of a kind with a name; for the kind ``"command"``, the click command.

        Raises:
            PluginNotFoundError: no plugin registers it; names those that are there and the broken plugins.
            PluginConflictError: several plugins register it; names them all.
            UsageError: there is no such kind.
        """
        of_kind = self._kind(kind)
        if name in of_kind.conflicts:
            raise self._conflict(kind, name, of_kind.conflicts[name])
        if name not in of_kind.found:
            message = f"no {kind} is called {name!r}; installed: {', '.join(sorted(of_kind.found)) or 'none'}"
            broken = [error.message for error in (*self.loaded.errors, *of_kind.errors)]
            if broken:
                message += "; broken plugins: " + "; ".join(broken)
            raise PluginNotFoundError(message, kind=kind, name=name)
        value: type[Any] = of_kind.found[name].value
        return value

    def create(self, kind: str, name: str, config: Mapping[str, Any] | None = None) -> Any:
        """Return an instance of the named class with a configuration.

        Raises:
            PluginNotFoundError, PluginConflictError: see ``get``.
            UsageError: the class refuses the configuration (a TypeError, ValueError or OSError of its own); says why.
            PluginError: it raised anything else.
        """
        cls = self.get(kind, name)
        try:
            return cls(**(config or {}))
        except VecsearchError:
            raise
        except (TypeError, ValueError, OSError) as error:
            raise UsageError(
                f"{kind} {name!r} refuses its configuration {dict(config or {})!r}: {error}", kind=kind, name=name
            ) from error
        except Exception as error:
            raise PluginError(
                f"{kind} {name!r} could not be made with the configuration {dict(config or {})!r}: {_in_words(error)}",
                kind=kind,
                name=name,
            ) from error

    def commands(self) -> list[click.Command]:
        """Return the click commands of all plugins, by name; those with one name for two are left out."""
        return [registered.value for _, registered in sorted(self._kind("command").found.items())]

    def errors(self, kind: str | None = None) -> list[PluginError]:
        """Return everything that is wrong with the plugins, as far as it is known.

        Args:
            kind: call the hooks of this kind first, and leave out what is wrong with other kinds only.

        Returns:
            PluginLoadErrors and PluginConflictErrors.
        """
        if kind is not None:
            self._kind(kind)
        kinds = [kind] if kind is not None else [known for known in KINDS if known in self._kinds]
        errors: list[PluginError] = [*self.loaded.errors]
        for known in kinds:
            of_kind = self._kind(known)
            errors += of_kind.errors
            errors += [self._conflict(known, name, some) for name, some in sorted(of_kind.conflicts.items())]
        return errors

    def installed(self) -> list[Installed]:
        """Return everything that is installed, sorted by kind and name, broken plugins last."""
        lines: list[Installed] = []
        broken: list[PluginError] = [*self.loaded.errors]
        for kind in KINDS:
            of_kind = self._kind(kind)
            broken += of_kind.errors
            rows = [(name, registered, None) for name, registered in of_kind.found.items()] + [
                (name, registered, self._conflict(kind, name, some).message)
                for name, some in of_kind.conflicts.items()
                for registered in some
            ]
            for name, registered, error in sorted(rows, key=lambda row: (row[0], row[1].plugin)):
                version = str(getattr(registered.value, "version", ""))
                lines.append(Installed(kind, name, version, registered.plugin, registered.distribution, error))
        return lines + [
            Installed(
                "broken", error.facts["plugin"], "", error.facts["plugin"], error.facts["distribution"], error.message
            )
            for error in broken
        ]

    def _kind(self, kind: str) -> _Kind:
        if kind not in KINDS:
            raise UsageError(f"no kind of plugin is called {kind!r}; kinds: {', '.join(KINDS)}", kind=kind)
        with self._lock:
            if kind not in self._kinds:
                self._kinds[kind] = self._call_hooks(kind)
            return self._kinds[kind]

    def _call_hooks(self, kind: str) -> _Kind:
        found: dict[str, list[_Registered]] = {}
        errors: list[PluginError] = []
        hooks: pluggy.HookCaller = getattr(self.loaded.manager.hook, HOOKS[kind])
        for implementation in sorted(hooks.get_hookimpls(), key=lambda one: one.plugin_name):
            plugin = implementation.plugin_name
            distribution = self.loaded.distributions[plugin]
            try:
                registered = check_registered(kind, implementation.function())
            except (Exception, SystemExit) as error:  # a broken plugin is named and does not stop the others
                errors.append(
                    PluginLoadError(
                        f"plugin {plugin!r} of {distribution} could not register its {kind}s: {_in_words(error)}; "
                        f"mend or uninstall it, or leave it out with {DISABLE}={plugin}",
                        plugin=plugin,
                        distribution=distribution,
                    )
                )
                continue
            for name, value in registered.items():
                found.setdefault(name, []).append(_Registered(value, plugin, distribution))
        return _Kind(
            found={name: some[0] for name, some in found.items() if len(some) == 1},
            conflicts={name: some for name, some in found.items() if len(some) > 1},
            errors=errors,
        )

    def _conflict(self, kind: str, name: str, some: Sequence[_Registered]) -> PluginConflictError:
        plugins = [registered.plugin for registered in some]
        said = " and ".join(f"{registered.plugin!r} of {registered.distribution}" for registered in some)
        return PluginConflictError(
            f"{len(some)} plugins register the {kind} {name!r}: {said}; none of them is used until all but one "
            f"are uninstalled or left out with {DISABLE}={','.join(plugins[1:])}",
            kind=kind,
            name=name,
            plugins=plugins,
            distributions=[registered.distribution for registered in some],
        )
