"""English words that say how a thing is asked for, not what: left out of the keyword side of a query.

In a question they are frequent, in what answers it they may be rare, and then BM25 would take them for telling:
in notes on programming *how*, *do* and *I* are. The vectors need no such list, for the rows of these words are short.
A query of nothing else keeps them: "to be or not to be". Texts are indexed whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecsearch.stores.analysis import Keyword

__all__ = ["STOP_WORDS", "telling"]

_WORDS = """
a about above after again against all also am an and any are as at be because been before being below between both but
by can could did do does doing down during each few for from further had has have having he her here hers him his how i
if in into is it its itself just me more most my no nor not of off on once only or other our ours out over own same she
should so some such than that the their theirs them then there these they this those through to too under until up very
was we were what when where which while who whom why will with would you your yours
"""
STOP_WORDS = frozenset(_WORDS.split())


def telling(keywords: Sequence[Keyword], text: str) -> list[Keyword]:
    """Return the keywords of a query that are no stop words; all of them where there are no others.

    Example:
        >>> from vecsearch.stores.analysis import Keyword
        >>> [one.term for one in telling([Keyword("how", 0, 3), Keyword("commit", 4, 10)], "How commits")]
        ['commit']
    """
    kept = [one for one in keywords if text[one.start : one.end].casefold() not in STOP_WORDS]
    return kept or list(keywords)
