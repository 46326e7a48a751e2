"""Writes the package of a new plugin: what it is made of, which names it may have, and how it is put on disk."""

from __future__ import annotations

from vecsearch.scaffolding.names import Names, check_name
from vecsearch.scaffolding.packages import KINDS, package_files, write_package

__all__ = ["KINDS", "Names", "check_name", "package_files", "write_package"]
