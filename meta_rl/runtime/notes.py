"""Lines for the user, from before there is anybody to show them."""

from collections.abc import Callable


class Notes:
    """Takes lines, and keeps them until somebody else does."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._take: Callable[[str], None] = self._waiting.append

    def __call__(self, line: str) -> None:
        """Takes a line."""
        self._take(line)

    def hand_to(self, take: Callable[[str], None]) -> None:
        """Hands over what is waiting, and all that comes from now on."""
        waiting, self._waiting = self._waiting, []
        self._take = take
        for line in waiting:
            take(line)
