"""What a new plugin is called: the one name that its author gives, and all that follow from it."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from vecsearch.errors import UsageError
from vecsearch.plugins import Registry

__all__ = ["LONGEST", "Names", "check_name"]

LONGEST = 40
"""Characters that a name may have."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
# Folders beside the package, and what `import` finds otherwise.
_TAKEN = {"tests", "plugins", "vecsearch"}


@dataclass(frozen=True)
class Names:
    """The names in a new package.

    Attributes:
        package: the importable package, the entry point and the plugin itself, such as ``acme_words``.
        distribution: what pip calls it: ``acme-words``.
        cls: the class: ``AcmeWordsTokenizer``.

    Example:
        >>> Names.of("acme_words", "tokenizer")
        Names(package='acme_words', distribution='acme-words', cls='AcmeWordsTokenizer')
        >>> Names.of("word_tokenizer", "tokenizer").cls
        'WordTokenizer'
    """

    package: str
    distribution: str
    cls: str

    @classmethod
    def of(cls, name: str, kind: str) -> Names:
        """Return the names that follow from the one that was given."""
        words = [*name.removesuffix(f"_{kind}").split("_"), kind]
        return cls(name, name.replace("_", "-"), "".join(word.capitalize() for word in words))


def check_name(name: str, kind: str, registry: Registry | None = None) -> None:
    """Raise a UsageError where a new plugin can't have a name.

    Args:
        name: of the package to be made.
        kind: one of ``packages.KINDS``.
        registry: of the installed plugins; by default a new one.

    Raises:
        UsageError: it is no lower-case identifier or longer than ``LONGEST``; it is a word of Python, a module of the
            standard library, an installed package or distribution, or an installed plugin's name. Says which, and
            what is allowed.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        likely = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:LONGEST].strip("_")
        raise UsageError(
            f"{name!r} cannot be the name of a Python package here: it must be at most {LONGEST} lower-case letters, "
            "digits and single _ between them, and begin with a letter" + (f", such as {likely}" if likely else ""),
            name=name,
        )
    taken = _taken_by(name, kind, registry)
    if taken:
        raise UsageError(f"{name!r} is taken: it is {taken}; choose another name, such as my_{name}", name=name)


def _taken_by(name: str, kind: str, registry: Registry | None) -> str | None:
    """Return what has a name already; None where nothing has."""
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "a word of the language Python"
    if name in sys.stdlib_module_names or name in sys.builtin_module_names:
        return "a module of Python's standard library"
    if name in _TAKEN:
        return "a folder or module that vecsearch or the package itself needs"
    registry = registry or Registry()
    if name in registry.names(kind):
        return f"an installed {kind}"
    if name in registry.loaded.distributions:
        return f"an installed plugin, of {registry.loaded.distributions[name]}"
    try:
        return f"the installed distribution {metadata.distribution(name).name}"
    except metadata.PackageNotFoundError:
        pass
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # it is there, and says nothing of where it comes from
        return "an installed package"
    # A folder without __init__.py, such as one of texts in the folder that one stands in, is no package to fear for.
    if spec is not None and spec.origin is not None:
        return "an installed package"
    return None
