"""A training ends with the process that started it, however that one ends.

The starter holds one end of a pipe, which the system closes with it, and the training reads the
other end as its standard input. This works wherever there are pipes.
"""

import os
import signal
import time
from threading import Thread

LIFELINE = "META_RL_ENDS_WITH_STDIN"
"""Environment variable of a process whose standard input is such a pipe."""

# As long as a sweep waits for runs that it has asked to stop.
_PATIENCE_S = 60.0


def end_with_starter() -> None:
    """In a process with a lifeline: once the starter is gone, save and end, as after SIGTERM.

    What does not end within a minute is killed, with all processes that it has started.
    """
    if os.environ.pop(LIFELINE, None) is None:
        return
    # Moved out of the way, so that whoever reads the standard input finds it empty, as usual.
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(pipe, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PATIENCE_S)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    Thread(target=watch, daemon=True, name="lifeline").start()
