"""Effects of settings: which runs are one, and which validation scores may be compared."""

import pytest

from meta_rl.config import Effect, changed_settings, effect_of, load_config, plain_settings
from meta_rl.config.kinds import fields_of

# After a resume with another value of these, earlier validation scores are set aside.
SCORES = {
    "navigation": {
        *("rollout.horizon", "rollout.discount_factor", "rollout.gae_lambda"),
        *("rollout.standardise_advantages", "evaluation.episodes_per_task", "evaluation.num_tasks"),
        *("evaluation.seed", "evaluation.num_adaptation_steps", "adaptation.inner_step_size"),
        *("adaptation.later_step_size_ratio", "adaptation.surrogate"),
    },
    "sine_reptile": {
        *("evaluation.num_tasks", "evaluation.seed", "evaluation.num_adaptation_steps"),
        *("evaluation.shots", "evaluation.queries", "adaptation.inner_step_size"),
        *("adaptation.optimiser", "adaptation.examples_per_step"),
    },
}
PLACES_AND_PACE = {
    *("run.dir", "run.device", "run.compile", "run.checkpoint_every", "run.keep_checkpoints"),
    *("run.log_every", "run.wandb", "run.wandb_project"),
}


def settings_with(preset: str, *effects: Effect) -> set[str]:
    config = load_config(preset)
    return {name for name in fields_of(type(config)) if effect_of(config, name) in effects}


@pytest.mark.parametrize("preset", SCORES)
def test_what_a_validation_score_depends_on(preset: str):
    assert settings_with(preset, Effect.NUMBERS) == SCORES[preset]


def test_what_changes_no_number():
    found = settings_with("navigation", Effect.SPEED, Effect.LABELS)
    chunks_and_workers = {
        *("meta_update.steps_per_chunk", "rollout.num_threads", "rollout.step_timeout"),
    }
    assert found == PLACES_AND_PACE | chunks_and_workers
    assert settings_with("sine", Effect.SPEED, Effect.LABELS) == PLACES_AND_PACE


def test_tasks_model_and_algorithm_are_the_problem():
    for preset in ("navigation", "sine", "glyphs_5way_1shot"):
        problem = settings_with(preset, Effect.PROBLEM)
        sections = ("env", "policy", "sine", "few_shot", "network", "algorithm")
        names = {name for name in plain_settings(load_config(preset)) if name.startswith(sections)}
        assert problem == names


def test_changed_settings_are_found_by_their_effect():
    before = load_config("navigation", ["run.device=cpu"])
    now = load_config(
        "navigation", ["run.device=auto", "evaluation.num_tasks=7", "meta_update.max_kl=0.5"]
    )
    assert changed_settings(before, now, (Effect.NUMBERS,)) == {"evaluation.num_tasks": (40, 7)}
    assert changed_settings(before, now, (Effect.SPEED,)) == {"run.device": ("cpu", "auto")}
    other = load_config("navigation", ["policy.init_std=0.5"])
    assert list(changed_settings(before, other, (Effect.PROBLEM,))) == ["policy.init_std"]
