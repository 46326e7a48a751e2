"""Prints the Python language reference, which every Python carries in ``pydoc_data.topics``, as JSON lines.

To search it:

    python -m vecsearch.demo | vecsearch add - --index python-reference
"""

from __future__ import annotations

import json
import sys
from pydoc_data.topics import topics


def main() -> None:
    """Print one document a topic: its id, its first line as the title, its text."""
    for name, text in sorted(topics.items()):
        title = text.strip().partition("\n")[0].strip("* ").replace('"', "")
        sys.stdout.write(json.dumps({"id": name, "title": title, "text": text}) + "\n")


if __name__ == "__main__":
    main()
