"""``vecsearch cache``."""

from __future__ import annotations

import click

from vecsearch.cli.options import json_option
from vecsearch.cli.output import columns, one_line, write, write_json
from vecsearch.cli.settings import Settings, pass_settings

__all__ = ["cache_command"]


@click.command(
    "cache",
    epilog="""Examples:

\b
  vecsearch cache
  vecsearch cache --clear
  VECSEARCH_CACHE_BYTES=5000000000 vecsearch index papers --model minilm""",
)
@click.option("--clear", is_flag=True, help="Remove all of it.")
@json_option("one object; path, max_bytes, n_entries, bytes")
@pass_settings
def cache_command(settings: Settings, clear: bool, is_json: bool) -> None:  # noqa: ARG001 (given to every command)
    """Show or clear what is kept of embedded texts.

    Contextual models take long, so what they gave for a text is kept in the user's cache folder, as an index keeps it:
    text that was moved, or that stands in another index as well, is not embedded again. VECSEARCH_CACHE_BYTES limits
    its size (1,000,000,000 by default, what was not used for longest leaves first); 0 turns it off.
    """
    from vecsearch.embedding_cache import MAX_BYTES, EmbeddingCache, cache_folder, cache_limit

    # where it is turned off, what was kept before can still be seen and removed
    limit = cache_limit()
    cache = EmbeddingCache(cache_folder(), limit or MAX_BYTES)
    if clear:
        cache.clear()
    facts = {**cache.info(), "max_bytes": limit}
    cache.close()
    if is_json:
        write_json(facts)
        return
    rows = [(name, f"{value:,}" if isinstance(value, int) else one_line(str(value))) for name, value in facts.items()]
    write("".join(line + "\n" for line in columns(rows)))
