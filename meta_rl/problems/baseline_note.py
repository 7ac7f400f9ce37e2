"""What is said before training or evaluating with too few steps for the baseline's features."""

from meta_rl.config import Config
from meta_rl.models.linear_baseline import min_steps_for_observations, num_baseline_features


def training_note(config: Config, observation_size: int) -> str | None:
    """A sentence where a task of the meta-batch has too few steps, else None."""
    return _note(config, "rollout", config.rollout.episodes_per_task, observation_size)


def evaluation_note(config: Config, observation_size: int) -> str | None:
    """A sentence where adapting to a held-out task has too few steps, else None."""
    if config.evaluation.num_adaptation_steps == 0:
        return None
    return _note(config, "evaluation", config.evaluation.episodes_per_task, observation_size)


def _note(
    config: Config, section: str, episodes_per_task: int, observation_size: int
) -> str | None:
    horizon = config.rollout.horizon
    needed = min_steps_for_observations(observation_size)
    if episodes_per_task * horizon >= needed:
        return None
    return (
        f"{section}.episodes_per_task={episodes_per_task} with rollout.horizon={horizon} gives "
        f"{episodes_per_task * horizon} steps per task, too few for the "
        f"{num_baseline_features(observation_size)} features of the linear baseline: it uses the "
        f"time alone, and observations from {needed} steps on ({section}.episodes_per_task="
        f"{-(-needed // horizon)})."
    )
