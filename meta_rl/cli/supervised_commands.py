"""What ``evaluate`` and ``visualize`` do with runs on supervised tasks."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

DEFAULT_NUM_PICTURES = 4
_GRID_SIZE = 200


def refuse_options(options: Mapping[str, Any]) -> None:
    """Raises a ``ConfigError`` for an option that was given but means nothing here."""
    from meta_rl.config import ConfigError

    for name, value in options.items():
        if value:
            raise ConfigError(f"{name} is for runs of reinforcement learning, which this is not")


def evaluate_supervised(
    runs: Sequence[Path],
    settings: Mapping[str, Any],
    out: Path | None,
    note: Callable[[str], None],
    console: Any,
) -> None:
    """Adapts runs to the test tasks of the first, prints the curves and writes them.

    Args:
        runs: run directories or checkpoints.
        settings: changes to their settings, by dotted name.
        out: a new folder; None: one in the run directory, or here for several runs.
        note: takes a line for the user.
        console: where the table goes.
    """
    from meta_rl.evaluation.evaluation_job import evaluation_folder, output_folder
    from meta_rl.evaluation.supervised_evaluation import (
        evaluate_initialisation,
        load_initialisations,
    )
    from meta_rl.reporting.supervised_files import write_evaluation
    from meta_rl.reporting.supervised_tables import print_supervised_curves
    from meta_rl.runs.atomic_files import check_unused
    from meta_rl.training.run_kinds import parameter_names_of

    loaded = load_initialisations(runs, settings)
    folder = out or evaluation_folder(runs)
    check_unused(folder)
    curves = {}
    for saved in loaded:
        for warning in saved.warnings:
            note(f"Warning: {warning}")
        note(
            f"Evaluating {saved.path}, iteration {saved.meta_iteration}, on "
            f"{saved.config.evaluation.num_tasks} tasks"
        )
        curves[saved.name] = evaluate_initialisation(saved)
    with output_folder(out, folder) as made:
        write_evaluation(made.temporary, curves, parameter_names_of(loaded[0].config))
    print_supervised_curves(console, curves)
    note(f"Evaluation: {made.path}")


def visualize_supervised(
    runs: Sequence[Path],
    settings: Mapping[str, Any],
    num_tasks: int | None,
    out: Path | None,
    note: Callable[[str], None],
) -> None:
    """Draws what runs say about the same tasks before and after adapting, side by side.

    Args:
        runs: run directories or checkpoints.
        settings: changes to their settings, by dotted name.
        num_tasks: how many tasks; None: a few.
        out: a new folder; None: one in the run directory, or here for several runs.
        note: takes a line for the user.
    """
    from meta_rl.config import ConfigError, SineRunConfig
    from meta_rl.evaluation.evaluation_job import evaluation_folder, output_folder
    from meta_rl.evaluation.supervised_evaluation import (
        adapt_to_tasks,
        load_initialisations,
    )
    from meta_rl.reporting.supervised_files import write_pictures
    from meta_rl.runs.atomic_files import check_unused

    if num_tasks is not None and num_tasks < 1:
        raise ConfigError(f"--num-tasks should be at least 1, but is {num_tasks}")
    loaded = load_initialisations(runs, settings)
    folder = out or evaluation_folder(runs, "visualize")
    check_unused(folder)
    is_sine = isinstance(loaded[0].config, SineRunConfig)
    grid_size = _GRID_SIZE if is_sine else None
    adapted = {}
    for saved in loaded:
        for warning in saved.warnings:
            note(f"Warning: {warning}")
        adapted[saved.name] = adapt_to_tasks(saved, num_tasks or DEFAULT_NUM_PICTURES, grid_size)
    with output_folder(out, folder) as made:
        write_pictures(made.temporary, adapted, is_sine=is_sine)
        files = sorted(path.name for path in made.temporary.iterdir())
    note(f"Pictures: {made.path}/ {', '.join(files)}")
