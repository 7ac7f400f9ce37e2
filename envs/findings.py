"""What a check of an environment finds."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing to mend or to know.

    Attributes:
        severity: "error" for what cannot be trained on, "warning" for what makes results hard to
            repeat or to compare.
        message: one sentence without its end.
        traceback: of the exception behind it, or "".
    """

    severity: Literal["error", "warning"]
    message: str
    traceback: str = ""
