"""Whether a pipeline is the one that an index was made with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vecsearch.errors import IdentityError

__all__ = ["check_identity"]


def check_identity(folder: Path, recorded: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse a pipeline that is not the one that an index was made with.

    Raises:
        IdentityError: they differ; names both.
    """
    for part in ("tokenizer", "embedder", "encoder", "max_tokens", "precision"):
        # before format 4 vectors were kept as they are, and nothing said so
        unsaid = "fp32" if part == "precision" and part in given else None
        if recorded.get(part, unsaid) != given.get(part):
            raise IdentityError(
                f"index {folder} was made with {part} {json.dumps(recorded.get(part), sort_keys=True)}, but this is "
                f"{json.dumps(given.get(part), sort_keys=True)}; open it with the former, or index the sources into a "
                f"new index",
                path=str(folder),
                part=part,
                recorded=recorded.get(part),
                given=given.get(part),
            )
