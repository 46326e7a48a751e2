"""The program ``vecsearch``.

Every command lives in a module that is imported only when the command runs or help is shown, and those modules import
the engine only inside their functions: ``vecsearch --help`` loads neither numpy nor a store. Commands of plugins come
from the hook ``vecsearch_register_commands``; a plugin cannot replace a command of the engine.

Exit codes: 0 done (no hits included); 1 failed, with one line on stderr; 2 the command line itself is wrong; 130
interrupted. Under ``--json`` the line on stderr is a JSON object (``VecsearchError.to_dict()``).
``VECSEARCH_DEBUG=1`` shows the traceback of a failure.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the program with the arguments of this process. Never returns."""
    try:
        # imported here, so that Ctrl-C in the first tenth of a second is no traceback either
        from vecsearch.cli.program import program

        for stream in (sys.stdout, sys.stderr):
            # text may hold characters that this terminal's encoding has not, and lone surrogates, which none has
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        program.main(prog_name="vecsearch")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
