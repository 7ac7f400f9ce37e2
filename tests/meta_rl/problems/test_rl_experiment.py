"""What a configuration stands for."""

import numpy as np
import pytest
import torch
from meta_rl.problems.rl_experiment import RLExperiment

from meta_rl.config import load_config
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runtime.device import DeviceError
from meta_rl.runtime.seeding import RandomStreams, Split


@pytest.fixture(autouse=True)
def _one_thread():
    with single_torch_thread():
        yield


def experiment(*overrides: str) -> RLExperiment:
    return RLExperiment(load_config("smoke", ["run.device=cpu", *overrides]))


def test_initial_parameters_are_a_function_of_the_seed():
    with experiment() as a, experiment() as b, experiment("run.seed=1") as c:
        for name, value in a.initial_params.items():
            assert torch.equal(value, b.initial_params[name])
        weight = "mean.layers.0.weight"
        assert weight in a.initial_params
        assert not torch.equal(a.initial_params[weight], c.initial_params[weight])
        assert "log_std" in a.initial_params


def test_initial_parameters_are_a_copy():
    with experiment() as a:
        before = a.initial_params["log_std"].clone()
        a.initial_params["log_std"].add_(1)
        assert torch.equal(a.initial_params["log_std"], before)


def test_training_and_evaluation_take_steps_of_the_same_sizes():
    overrides = ("adaptation.inner_step_size=0.4", "adaptation.num_adaptation_steps=2")
    with experiment(*overrides) as a:
        assert a.training_settings.num_adaptation_steps == 2
        assert a.config.evaluation.num_adaptation_steps == 3
        assert a.inner_loop.step_sizes(3) == pytest.approx([0.4, 0.2, 0.2])
        assert a.inner_loop.step_sizes(0) == []


def test_an_evaluation_is_the_same_at_every_call_and_for_every_run_seed():
    with experiment() as a, experiment("run.seed=1") as b:
        params = a.initial_params
        curves = [e.evaluate(params, Split.VALIDATION) for e in (a, a, b)]
    for curve in curves[1:]:
        assert np.array_equal(curve.task, curves[0].task)
        assert np.array_equal(curve.episode_return, curves[0].episode_return)
    assert curves[0].episode_return.shape == (3, 4, 4)  # tasks, steps 0 to 3, episodes


def test_training_validation_and_test_tasks_differ():
    with experiment("evaluation.num_tasks=20") as a:
        tasks = [
            a.evaluate(a.initial_params, split).task for split in (Split.VALIDATION, Split.TEST)
        ]
        # Even where run.seed and evaluation.seed agree, as they do by default.
        assert a.config.run.seed == a.config.evaluation.seed
        for meta_iteration in range(5):
            generator = RandomStreams(0, Split.TRAIN, meta_iteration).task_generator()
            tasks.append(a.env.sample_tasks(20, generator))
    every = np.concatenate(tasks)
    assert len(np.unique(every, axis=0)) == len(every) == 7 * 20


def test_the_evaluation_seed_changes_the_held_out_tasks():
    with experiment() as a, experiment("evaluation.seed=1") as b:
        first, second = (e.evaluate(a.initial_params, Split.TEST) for e in (a, b))
    assert (first.task != second.task).all()


@pytest.mark.needs("no GPU")
def test_a_device_that_is_not_there():
    with pytest.raises(DeviceError, match=r"run\.device=cuda, but torch finds no CUDA device"):
        RLExperiment(load_config("smoke", ["run.device=cuda"]))


def test_chunks_by_device_unless_set():
    with experiment() as a, experiment("meta_update.steps_per_chunk=7") as b:
        assert 0 < a.steps_per_chunk < 10**6
        assert b.steps_per_chunk == 7
        assert b.training_settings.steps_per_chunk == 7
