"""Numbers as people read them in pictures."""


def format_number(value: float, num_decimals: int = 1) -> str:
    """A number with few digits and a typographic minus."""
    return f"{value:.{num_decimals if abs(value) < 1000 else 0}f}".replace("-", "\N{MINUS SIGN}")
