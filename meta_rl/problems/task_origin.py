"""What may be said of the tasks of an evaluation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskOrigin:
    """Where the tasks of an evaluation are from.

    Attributes:
        words: completes "Return on ...".
        held_out: whether training cannot draw them.
    """

    words: str
    held_out: bool
