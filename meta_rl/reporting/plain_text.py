"""Names and paths in pictures of matplotlib, just as they are."""

# Has no width: a label that begins with an underscore is otherwise left out of legends.
_NOTHING = "\u200b"


def plain_text(text: str) -> str:
    """Text in which dollar signs do not begin a formula, and which may be a label in a legend."""
    shown = text.replace("$", r"\$")
    return _NOTHING + shown if shown.startswith("_") else shown
