"""Replays as plain values for the page: poses or paths, and what is read off beside them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from meta_rl.reporting.report.packing import pack, rounded
from meta_rl.reporting.report.recorded_replays import ShownTask
from meta_rl.reporting.report.solid_poses import (
    drawn_solids,
    greatest_height,
    numbers_per_moment,
    packed_poses,
    undrawn_kinds,
)
from meta_rl.rollouts.replay import Replay

# A short episode is shown slower than it was, so that there is something to see.
_SHORT_EPISODE = 4.0


def replays_data(shown: Sequence[ShownTask], run: str) -> dict[str, Any] | None:
    """What the page needs to draw the replays, or None where the environment shows nothing.

    Args:
        shown: at least one task.
        run: the name of the run that the episodes are of.
    """
    replays = [replay for task in shown for replay in task.first_replays]
    first = replays[0]
    in_plane = first.plane_position is not None
    if not in_plane and (first.scene is None or not drawn_solids(first.scene)):
        return None
    data: dict[str, Any] = {
        "view": "plane" if in_plane else "solids",
        "seconds_per_step": first.control_step,
        "speed": _speed(first),
        "signal": _signal_description(first, replays),
        "text": _text(first, run, shown[0].episodes.num_episodes),
        "trajectories_text": _trajectories_text(shown[0], run, in_plane=in_plane),
        "tasks": [_task(task, in_plane=in_plane) for task in shown],
    }
    if in_plane:
        data["range"] = _plane_range(shown)
    else:
        assert first.scene is not None
        data |= {
            "solids": drawn_solids(first.scene),
            "numbers_per_moment": numbers_per_moment(first.scene),
            "top": round(max(map(greatest_height, replays)), 3),
        }
    return data


def _task(task: ShownTask, *, in_plane: bool) -> dict[str, Any]:
    first = task.first_replays[0]
    return {
        "task_index": task.chosen.index,
        "label": task.episodes.label,
        "reasons": task.chosen.reason,
        "target": first.tracked.target if first.tracked else None,
        "aim": first.tracked.aim if first.tracked else None,
        "goal": _goal(first),
        "steps": [_step(replays, in_plane=in_plane) for replays in task.episodes.replays],
    }


def _goal(replay: Replay) -> dict[str, Any] | None:
    if replay.goal is None:
        return None
    return {
        "position": rounded(replay.goal.position, 5),
        "half_width": replay.goal.half_width,
    }


def _step(replays: Sequence[Replay], *, in_plane: bool) -> dict[str, Any]:
    """The first episode, and in the plane the paths of all, its own coming first."""
    data: dict[str, Any] = {
        "reward": rounded(replays[0].reward, 4),
        "signal": rounded(_signal(replays[0]), 3),
    }
    if not in_plane:
        return data | packed_poses(replays[0])
    paths = [replay.plane_position for replay in replays]
    data["paths"] = [pack(path, unit=1e-4, bits=32) for path in paths if path is not None]
    return data


def _signal(replay: Replay) -> np.ndarray:
    """What the task is about, at each step, [T]: the tracked quantity, the distance, the reward."""
    if replay.tracked_value is not None:
        return replay.tracked_value
    if replay.goal is not None and replay.plane_position is not None:
        distance: np.ndarray = np.linalg.norm(
            replay.plane_position[1:] - replay.goal.position, axis=-1
        )
        return distance
    return replay.reward


def _signal_description(replay: Replay, replays: Sequence[Replay]) -> dict[str, Any]:
    if replay.tracked is not None:
        name, unit = replay.tracked.name.replace("_", " "), replay.tracked.unit
    elif replay.goal is not None:
        name, unit = "distance to the goal", ""
    else:
        name, unit = "reward", ""
    values = [_signal(one) for one in replays]
    values += [np.array([one.tracked.target]) for one in replays if one.tracked]
    low, high = np.nanmin(np.concatenate(values)), np.nanmax(np.concatenate(values))
    pad = 0.05 * (high - low) or 1.0
    # A distance begins at nothing.
    low = 0.0 if replay.tracked is None and replay.goal is not None else low - pad
    return {
        "title": name.capitalize(),
        "label": name,
        "axis_label": f"{name}, {unit}" if unit else name,
        "unit": unit,
        "range": rounded(np.array([low, high + pad]), 4),
    }


def _plane_range(shown: Sequence[ShownTask]) -> dict[str, list[float]]:
    """The square that holds every path and goal."""
    replays = [replay for task in shown for step in task.episodes.replays for replay in step]
    paths = [replay.plane_position for replay in replays if replay.plane_position is not None]
    goals = [replay.goal.position[None] for replay in replays if replay.goal is not None]
    everything = np.concatenate([*paths, *goals])
    low, high = everything.min(0), everything.max(0)
    middle, reach = (low + high) / 2, 0.54 * (high - low).max() or 1.0
    return {
        name: rounded(np.array([centre - reach, centre + reach]), 4)
        for name, centre in zip("xy", middle, strict=True)
    }


def _speed(replay: Replay) -> float:
    if replay.control_step is None:
        return 1.0
    return 0.5 if len(replay.reward) * replay.control_step < _SHORT_EPISODE else 1.0


def _text(replay: Replay, run: str, num_episodes: int) -> str:
    sentences = [
        f"One episode of {run} for each of several tasks at every adaptation step, the first of "
        f"{num_episodes}, played again from its recorded actions."
    ]
    if replay.control_step is not None:
        sentences.append("At speed 1 \u00d7, a second lasts a second.")
    else:
        sentences.append("At speed 1 \u00d7, a second shows 20 steps.")
    if replay.scene is not None and replay.tracked and replay.tracked.aim == "value":
        sentences.append("The flag runs at the target velocity from where the robot began.")
    if replay.scene is not None and (kinds := undrawn_kinds(replay.scene)):
        sentences.append(f"Solids of these kinds are not drawn: {', '.join(kinds)}.")
    return " ".join(sentences)


def _trajectories_text(task: ShownTask, run: str, *, in_plane: bool) -> str:
    if in_plane:
        count = len(task.episodes.replays[0])
        return f"Paths of {run}: the first {count} episodes of each task and adaptation step."
    return f"The episodes of the replays above, of {run}."
