"""One colour per adaptation step, told apart with any colour vision."""

# Grey for the start, then Okabe and Ito's colours, dark enough for text on white, in an order in
# which neighbours differ most. The report's style sheet has the same.
_COLOURS = ("#7d858f", "#cc8800", "#0072b2", "#00805d", "#c94f00", "#b85f93", "#3b9ad0", "#000000")


def step_colour(adaptation_step: int) -> str:
    """The colour of an adaptation step as ``#rrggbb``; from the eighth on they come again."""
    return _COLOURS[adaptation_step % len(_COLOURS)]


def step_label(adaptation_step: int) -> str:
    """What a legend calls an adaptation step."""
    if adaptation_step == 0:
        return "before adapting"
    return f"after {adaptation_step} step{'s' if adaptation_step > 1 else ''}"
