"""What changes over a run, as functions of how far the run is."""


def linear(first: float, last: float | None, share: float) -> float:
    """From the first value at share 0 to the last one at share 1; without a last one, constant."""
    return first if last is None else (1.0 - share) * first + share * last
