"""Errors of one sentence, whatever text of a file they quote."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

# Whatever a terminal or ``str.splitlines`` may take for the end of a line or for a command.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_MAX_LENGTH = 2000


def one_line(text: str) -> str:
    """Escapes what would break a line or move a terminal's cursor, and cuts out a long middle."""
    if len(text) > _MAX_LENGTH:
        text = f"{text[: _MAX_LENGTH // 2]} ... {text[-_MAX_LENGTH // 2 :]}"
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class SentenceError(ValueError):
    """Something that a user can mend; the message is one sentence on one line.

    Commands end with it, and no traceback.
    """

    def __init__(self, message: object = "") -> None:
        """Keeps the message on one line."""
        super().__init__(one_line(str(message)))


def is_sentence(error: BaseException) -> bool:
    """Whether an error's message is a sentence about something that a user can mend.

    Environments stand alone and do not know our class: an error of theirs that is one says so by
    an attribute ``is_sentence``.
    """
    return isinstance(error, SentenceError | OSError) or getattr(error, "is_sentence", False)


class FileError(SentenceError):
    """A file that cannot be read, or that does not hold what it should."""


@contextmanager
def file_errors_as(error_type: type[Exception]) -> Iterator[None]:
    """Passes a ``FileError`` on as another error of the same sentence."""
    try:
        yield
    except FileError as error:
        raise error_type(str(error)) from None
