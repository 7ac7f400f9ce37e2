"""Sinusoids as plain values for the page: the truth, and what the network says after some steps."""

from collections.abc import Sequence
from typing import Any

from meta_rl.evaluation.evaluator import AdaptedTasks
from meta_rl.reporting.report.packing import rounded
from meta_rl.reporting.report.task_choice import ChosenTask
from meta_rl.reporting.shown_steps import shown_steps

_DIGITS = 3


def fits_data(adapted: AdaptedTasks, chosen: Sequence[ChosenTask], run: str) -> dict[str, Any]:
    """What the page needs to draw a few tasks.

    Args:
        adapted: all test tasks, asked about even points.
        chosen: which of them are shown, and why.
        run: the name of the run whose network it is.
    """
    steps = shown_steps(adapted.prediction.shape[1])
    num_support = adapted.support.input.shape[1]
    return {
        "text": f"What the network of {run} says about each of several tasks before it adapts to "
        f"{num_support} support examples and after some of the steps.",
        "steps": steps,
        "tasks": [_task(adapted, one, steps) for one in chosen],
    }


def _task(adapted: AdaptedTasks, chosen: ChosenTask, steps: Sequence[int]) -> dict[str, Any]:
    index = chosen.index
    amplitude, phase = adapted.curve.task[index]
    support, query = adapted.support, adapted.query
    return {
        "task_index": index,
        "label": f"{amplitude:.2f} sin(x \u2212 {phase:.2f})",
        "reasons": chosen.reason,
        # An oracle also sees amplitude and phase, after x.
        "x": rounded(query.input[index, :, 0].numpy(), _DIGITS),
        "truth": rounded(query.target[index, :, 0].numpy(), _DIGITS),
        "support": {
            "x": rounded(support.input[index, :, 0].numpy(), _DIGITS),
            "y": rounded(support.target[index, :, 0].numpy(), _DIGITS),
        },
        "predictions": rounded(adapted.prediction[index, steps, :, 0].numpy(), _DIGITS),
    }
