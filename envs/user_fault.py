"""What a user's code did wrong, as data that travels from a worker to its parent.

A worker that raises would leave the parent with a message that names neither environment nor task.
"""

import dis
import inspect
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from envs.readable import exception_text
from envs.wrapper_layers import layers

_OUR_FOLDER = str(Path(__file__).parent)
_GYMNASIUM_FOLDER = str(Path(gymnasium.__file__).parent)
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib"))


class EnvRefused(ValueError):  # noqa: N818, it is a user's, not ours
    """An environment that cannot be made or used; the message is one sentence."""


class InvalidReturn(ValueError):  # noqa: N818, it is a user's, not ours
    """A method of a user's environment takes or returns something of another form than it should.

    Attributes:
        method: its name, "step".
    """

    def __init__(self, method: str, problem: str) -> None:
        """Keep the method's name; `problem` goes on after it: "returned None"."""
        super().__init__(f"{method} {problem}")
        self.method = method


@dataclass(frozen=True)
class UserFault:
    """An exception that a user's environment raised, or what it returned and should not.

    Attributes:
        env_index: which environment of the vector environment.
        exception: type and message, "ZeroDivisionError: division by zero", or a sentence.
        location: the user's "file:line", or "" if it is not known.
        traceback: the full text.
    """

    env_index: int
    exception: str
    location: str
    traceback: str

    @property
    def was_raised(self) -> bool:
        """Whether it is an exception of the user's code, and no sentence of ours about it."""
        return bool(self.traceback)

    @property
    def sentence(self) -> str:
        """Without its end: what happened, and where if that is known."""
        return f"{self.exception}{f' ({self.location})' if self.location else ''}"


def fault_from(
    error: BaseException, env: gymnasium.Env[Any, Any] | None, env_index: int = 0
) -> UserFault:
    """The exception as data.

    Args:
        error: whatever was raised, KeyboardInterrupt and SystemExit included: a user's code may
            raise them, and in a worker they mean no more than other exceptions.
        env: the environment, if there is one already.
        env_index: which one.
    """
    if isinstance(error, EnvRefused):
        return UserFault(env_index, str(error), "", "")
    if isinstance(error, InvalidReturn):
        location = return_location(env, error.method)
        return UserFault(env_index, str(error), location, "")
    return UserFault(
        env_index,
        exception_text(error),
        _raising_location(error, env),
        "".join(traceback.format_exception(error)).encode(errors="backslashreplace").decode(),
    )


def return_location(env: gymnasium.Env[Any, Any] | None, method: str) -> str:
    """Where the user's `method` returns: its only return, or else its first line; "" if unknown."""
    for layer in [] if env is None else layers(env):
        code = getattr(getattr(type(layer), method, None), "__code__", None)
        if code is None or _is_foreign(code.co_filename):
            continue
        lines = {
            instruction.positions.lineno
            for instruction in dis.get_instructions(code)
            if instruction.opname.startswith("RETURN_") and instruction.opname != "RETURN_GENERATOR"
            if instruction.positions is not None
        }
        line = lines.pop() if len(lines) == 1 else code.co_firstlineno
        return f"{Path(code.co_filename).name}:{line}"
    return ""


def _raising_location(error: BaseException, env: gymnasium.Env[Any, Any] | None) -> str:
    """The innermost line of the traceback in a file that defines a layer of the environment.

    Without such a line, the innermost line outside this package and Gymnasium.
    """
    tb = error.__traceback__
    frames = [f for f in traceback.extract_tb(tb, limit=-50) if not _is_ours(f.filename)]
    sources = set()
    for layer in [] if env is None else layers(env):
        try:
            sources.add(inspect.getsourcefile(type(layer)))
        except (TypeError, OSError):  # A class typed in at a prompt has no file.
            continue
    users = [f for f in frames if not _is_foreign(f.filename)]
    own = [f for f in users if not f.filename.startswith(_LIBRARIES)]
    frames = [f for f in users if f.filename in sources] or own or users or frames
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OUR_FOLDER, "<frozen"))


def _is_foreign(filename: str) -> bool:
    """Whether a file is not the user's: ours, Gymnasium's, or not a file."""
    return _is_ours(filename) or filename.startswith(_GYMNASIUM_FOLDER)
