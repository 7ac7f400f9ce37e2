"""Names that a reader may have meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Returns ``"; did you mean X?"`` for the candidate nearest to a name, or ``""``."""
    nearest = difflib.get_close_matches(name, list(candidates), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
