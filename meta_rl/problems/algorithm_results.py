"""What an algorithm returns is checked, since it may be a user's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from meta_rl.reading import SentenceError
from meta_rl.types import AlgorithmState, Params

# Of a line of ``metrics.jsonl``, what does not come from an algorithm.
_OF_THE_TRAINER = (
    *("meta_iteration", "seconds_", "env_steps", "iterations_per_second", "validation_"),
    *("is_best", "num_diverged_episodes", "train_return", "train_success_rate"),
)


class AlgorithmError(SentenceError):
    """An algorithm that returns something else than it should; the message is one sentence."""


def checked_initial_state(name: str, state: Any) -> AlgorithmState:
    """What ``initial_state`` returned.

    Args:
        name: ``algorithm.name``.
        state: anything.

    Raises:
        AlgorithmError: it is no state.
    """
    _check_is_state(name, "initial_state", state)
    checked: AlgorithmState = state
    return checked


def checked_update(
    name: str, result: Any, before: AlgorithmState
) -> tuple[AlgorithmState, dict[str, Any]]:
    """What ``update`` returned.

    Args:
        name: ``algorithm.name``.
        result: anything.
        before: the state that was updated, whose names, shapes and types the new one must have.

    Raises:
        AlgorithmError: it is not a state and metrics.
    """
    is_pair = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)
    # A state alone is a pair too.
    if not is_pair or isinstance(result, AlgorithmState):
        raise AlgorithmError(
            f"algorithm.name={name}: update should return a state and a mapping of metrics, not "
            f"{_kind(result)}"
        )
    state, metrics = result
    _check_is_state(name, "update", state)
    for part in ("params", "memory"):
        _check_same(name, part, getattr(before, part), getattr(state, part))
    return state, {str(key): _plain(name, key, value) for key, value in metrics.items()}


def checked_stages(name: str, stages: Any, kind: type, num_steps: int) -> list[Any]:
    """What ``adapt`` returned.

    Args:
        name: ``algorithm.name``.
        stages: anything.
        kind: of its entries.
        num_steps: one less than how many there should be.

    Raises:
        AlgorithmError: it is no such list.
    """
    if (
        not isinstance(stages, Sequence)
        or len(stages) != num_steps + 1
        or not all(isinstance(stage, kind) for stage in stages)
    ):
        found = f"{len(stages)} entries" if isinstance(stages, Sequence) else _kind(stages)
        raise AlgorithmError(
            f"algorithm.name={name}: adapt should return {num_steps + 1} entries of the type "
            f"{kind.__name__}, one for each adaptation step from 0 on, not {found}"
        )
    return list(stages)


def check_played(name: str, num_stages: int) -> None:
    """Refuses an update from no episodes at all.

    Raises:
        AlgorithmError: nothing was played.
    """
    if not num_stages:
        raise AlgorithmError(f"algorithm.name={name}: update should play at least once")


def check_played_params(name: str, params: Any, like: Params, num_tasks: int) -> None:
    """Refuses to play with parameters that are not those of the policy, for every task.

    Raises:
        AlgorithmError: names or shapes are others.
    """
    wanted = {key: (num_tasks, *value.shape) for key, value in like.items()}
    found = _shapes(params)
    if found != wanted:
        key = _first_difference(found, wanted)
        raise AlgorithmError(
            f"algorithm.name={name}: play was called with the parameter {key} of shape "
            f"{found.get(key, 'none')}, where {wanted.get(key, 'none')} belongs"
        )


def not_finite(metrics: Mapping[str, Any], names: Sequence[str] | None) -> str | None:
    """The first metric that is not finite.

    Args:
        metrics: numbers, lists of numbers, texts and truth values.
        names: which ones count; None for all.
    """
    for name in metrics if names is None else names:
        values = metrics[name] if isinstance(metrics[name], list) else [metrics[name]]
        if any(isinstance(value, float) and not math.isfinite(value) for value in values):
            return name
    return None


def _check_is_state(name: str, verb: str, state: Any) -> None:
    if isinstance(state, AlgorithmState) and all(
        isinstance(part, dict) and all(isinstance(value, Tensor) for value in part.values())
        for part in state
    ):
        return
    raise AlgorithmError(
        f"algorithm.name={name}: the state that {verb} returns should be an AlgorithmState of two "
        f"dictionaries of tensors, not {_kind(state)}"
    )


def _check_same(name: str, part: str, before: Params, after: Params) -> None:
    wanted, found = _shapes(before), _shapes(after)
    if found != wanted:
        key = _first_difference(found, wanted)
        raise AlgorithmError(
            f"algorithm.name={name}: update changes the shape of {part}[{key!r}] from "
            f"{wanted.get(key, 'none')} to {found.get(key, 'none')}"
        )
    for key, value in before.items():
        if after[key].dtype != value.dtype:
            raise AlgorithmError(
                f"algorithm.name={name}: update changes the type of {part}[{key!r}] from "
                f"{value.dtype} to {after[key].dtype}"
            )


def _plain(name: str, key: Any, value: Any) -> Any:
    plain = value.tolist() if hasattr(value, "tolist") else value
    entries = plain if isinstance(plain, list) else [plain]
    if str(key).startswith(_OF_THE_TRAINER):
        raise AlgorithmError(
            f"algorithm.name={name}: the metric {key} has a name that the trainer uses itself"
        )
    if str(key).startswith("train_"):
        allowed: Any = int | float  # they are averaged
    else:
        allowed = int | float | str | None
    if all(isinstance(entry, allowed) for entry in entries):
        return plain
    raise AlgorithmError(
        f"algorithm.name={name}: the metric {key} should be a number, a text, a truth value or a "
        f"list of numbers, not {_kind(value)}"
    )


def _shapes(params: Any) -> dict[str, tuple[int, ...]]:
    if not isinstance(params, Mapping):
        return {}
    return {key: tuple(getattr(value, "shape", ())) for key, value in params.items()}


def _first_difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    return min(key for key in {**found, **wanted} if found.get(key) != wanted.get(key))


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
