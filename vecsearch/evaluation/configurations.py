"""What is compared: pipelines and ways of searching, each with the arguments that it sets and no others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vecsearch.errors import UsageError

__all__ = ["PIPELINE_PARTS", "SEARCH_PARTS", "Configuration", "configurations"]

PIPELINE_PARTS = ("tokenizer", "embedder", "encoder", "precision")
SEARCH_PARTS = ("mode", "scorer", "order", "fusion", "rerank", "n_rerank")
NO_RERANKING = "none"
"""As a choice of ``rerank``: without it."""
_UNUSED: Mapping[str, Sequence[str]] = {"keyword": ("encoder", "scorer", "order", "fusion"), "vector": ("fusion",)}
"""The parts that make no difference in a mode."""


@dataclass(frozen=True)
class Configuration:
    """One way to search.

    Attributes:
        pipeline: arguments of ``Pipeline.from_names``.
        search: arguments of ``Index.search_many``.
    """

    pipeline: Mapping[str, str] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What is set, on one line.

        Example:
            >>> Configuration({"encoder": "none"}, {"mode": "vector"}).label
            'encoder=none mode=vector'
            >>> Configuration().label
            'default'
        """
        parts = {**self.pipeline, **self.search}
        return " ".join(f"{name}={value}" for name, value in parts.items()) or "default"

    @property
    def pipeline_label(self) -> str:
        """What is set of the pipeline."""
        return Configuration(self.pipeline).label


def configurations(choices: Mapping[str, Sequence[Any]]) -> list[Configuration]:
    """Return every combination of choices, the last part changing fastest; each that differs from the others once.

    What a mode does not use is left out with it: searching by keyword is one configuration, whatever scorers there are.

    Args:
        choices: values of each part, named as in ``PIPELINE_PARTS`` and ``SEARCH_PARTS``; a part without any is not
            set.

    Raises:
        UsageError: a part was chosen that no mode uses.

    Example:
        >>> found = configurations({"mode": ["keyword", "vector"], "scorer": ["maxsim", "soft_tf"]})
        >>> [one.label for one in found]
        ['mode=keyword', 'mode=vector scorer=maxsim', 'mode=vector scorer=soft_tf']
    """
    names = [name for name in (*PIPELINE_PARTS, *SEARCH_PARTS) if choices.get(name)]
    _check_use(choices)
    found: dict[str, Configuration] = {}
    for values in itertools.product(*(choices[name] for name in names)):
        chosen = dict(zip(names, values, strict=True))
        for part in _unused(chosen.get("mode")):
            # another encoder would need an index of its own, so the first one stays for the keywords
            if part == "encoder" and choices.get(part):
                chosen[part] = choices[part][0]
            else:
                chosen.pop(part, None)
        if chosen.get("rerank", NO_RERANKING) == NO_RERANKING:
            chosen.pop("rerank", None)
            chosen.pop("n_rerank", None)
        one = Configuration(
            {name: chosen[name] for name in PIPELINE_PARTS if name in chosen},
            {name: chosen[name] for name in SEARCH_PARTS if name in chosen},
        )
        found.setdefault(one.label, one)
    return list(found.values())


def _unused(mode: str | None) -> Sequence[str]:
    return () if mode is None else _UNUSED.get(mode, ())


def _check_use(choices: Mapping[str, Sequence[Any]]) -> None:
    modes = choices.get("mode")
    if choices.get("n_rerank") and set(choices.get("rerank") or ()) <= {NO_RERANKING}:
        raise UsageError("n_rerank makes no difference without rerank; say what reranks, such as minilm")
    for part in SEARCH_PARTS:
        if modes and choices.get(part) and all(part in _unused(mode) for mode in modes):
            raise UsageError(f"{part} makes no difference in mode {' and '.join(modes)}; leave it out")
    if modes and len(choices.get("encoder") or ()) > 1 and all("encoder" in _unused(mode) for mode in modes):
        raise UsageError(f"the encoder makes no difference in mode {' and '.join(modes)}; choose one at most")
