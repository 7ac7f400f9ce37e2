"""Which adaptation steps are shown where not all of them have room."""

_MAX_SHOWN_STEPS = 5


def shown_steps(num_columns: int) -> list[int]:
    """All adaptation steps where they are few, else some of the first and the last."""
    last = num_columns - 1
    if last <= _MAX_SHOWN_STEPS:
        return list(range(num_columns))
    return sorted({0, 1, 2, _MAX_SHOWN_STEPS, last})
