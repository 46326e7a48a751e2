"""Rewrites in README.md, docs/guide.md and indexes/FORMAT.md what their commands and Python blocks print.

    python docs/refresh.py [--demo]
    python -m tests.bench.order | python docs/refresh.py --figures order

Output that still matches is left as it stands, shortened by ``...`` or not. What does not match is written anew, in
full, to be read and shortened by hand. ``--demo`` also records the output of ``make demo`` in README.md. ``--figures``
puts what comes on stdin into a section of docs/benchmarks.md, with the date, and does nothing else.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.docs.blocks import ROOT, Part, Session
from tests.docs.documents import DOCUMENTS, run_demo, run_document


def refreshed(document: str, parts: list[Part]) -> str:
    """Return a document with the outputs that were not as expected replaced by those seen."""
    for part in sorted(parts, key=lambda part: -part.start):
        if not part.is_right:
            document = document[: part.start] + part.seen + document[part.end :]
    return document


def with_figures(document: str, section: str, output: str) -> str:
    """Return docs/benchmarks.md with other figures in one section; what holds no table is shown as it was printed."""
    figures = output.strip("\n")
    if not re.search(r"^\|", figures, re.MULTILINE):
        figures = f"```text\n{figures}\n```"
    opening = f"<!-- figures: {section} -->\n"
    begin = document.index(opening) + len(opening)
    end = document.index("<!-- end -->", begin)
    return f"{document[:begin]}\nMeasured on {date.today().isoformat()}.\n\n{figures}\n\n{document[end:]}"


def main() -> None:
    """Refresh all documents and say what has changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="record the output of `make demo` as well")
    parser.add_argument("--figures", metavar="SECTION", help="put stdin into this section of docs/benchmarks.md")
    arguments = parser.parse_args()
    if arguments.figures:
        path = ROOT / "docs" / "benchmarks.md"
        path.write_text(with_figures(path.read_text("utf-8"), arguments.figures, sys.stdin.read()), "utf-8")
        return
    for name in DOCUMENTS:
        path = ROOT / name
        document = path.read_text("utf-8")
        with tempfile.TemporaryDirectory() as folder:
            parts, _ = run_document(name, Path(folder) / "document", is_strict=False)
            if arguments.demo and name == "README.md":
                parts = [*parts, *run_demo(Session(Path(folder) / "demo"), document)]
        wrong = [part for part in parts if not part.is_right]
        path.write_text(refreshed(document, parts), "utf-8")
        sys.stdout.write(f"{name}: {len(parts)} outputs, {len(wrong)} written anew\n")
        for part in wrong:
            sys.stdout.write(f"    {part.command.strip().splitlines()[0]}\n")


if __name__ == "__main__":
    main()
