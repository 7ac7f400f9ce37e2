"""One line of text on the screen, just as it is."""

from rich.console import Console


def print_line(console: Console, text: str) -> None:
    """Prints text that may hold brackets, numbers and long paths, without rich's ideas of them."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)
