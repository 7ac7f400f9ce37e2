"""What settings of reinforcement learning stand for."""

import numpy as np
import pytest
import torch

from meta_rl.config import load_config
from meta_rl.problems.rl import RLProblem
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runtime.device import DeviceError
from meta_rl.runtime.seeding import RandomStreams, Split


@pytest.fixture(autouse=True)
def _one_thread():
    with single_torch_thread():
        yield


def problem(*overrides: str) -> RLProblem:
    return RLProblem(load_config("smoke", ["run.device=cpu", *overrides]))


def test_initial_parameters_are_a_function_of_the_seed():
    with problem() as a, problem() as b, problem("run.seed=1") as c:
        one, same, other = (made.initial_state().params for made in (a, b, c))
        for name, value in one.items():
            assert torch.equal(value, same[name])
        weight = "mean.layers.0.weight"
        assert weight in one
        assert not torch.equal(one[weight], other[weight])
        assert "log_std" in one


def test_initial_parameters_are_a_copy():
    with problem() as a:
        before = a.initial_state().params["log_std"].clone()
        a.initial_state().params["log_std"].add_(1)
        assert torch.equal(a.initial_state().params["log_std"], before)


def test_training_and_evaluation_take_steps_of_the_same_sizes():
    overrides = ("adaptation.inner_step_size=0.4", "adaptation.num_adaptation_steps=2")
    with problem(*overrides) as a:
        assert a.algorithm.num_adaptation_steps == 2
        assert a.config.evaluation.num_adaptation_steps == 3
        assert a.algorithm.step_sizes(3) == pytest.approx([0.4, 0.2, 0.2])
        assert a.algorithm.step_sizes(0) == []


def test_an_evaluation_is_the_same_at_every_call_and_for_every_run_seed():
    with problem() as a, problem("run.seed=1") as b:
        state = a.initial_state()
        curves = [e.evaluate(state, Split.VALIDATION) for e in (a, a, b)]
    for curve in curves[1:]:
        assert np.array_equal(curve.task, curves[0].task)
        assert np.array_equal(curve.value, curves[0].value)
    assert curves[0].value.shape == (3, 4, 4)  # tasks, steps 0 to 3, episodes


def test_training_validation_and_test_tasks_differ():
    with problem("evaluation.num_tasks=20") as a:
        tasks = [
            a.evaluate(a.initial_state(), split).task for split in (Split.VALIDATION, Split.TEST)
        ]
        # Even where run.seed and evaluation.seed agree, as they do by default.
        assert a.config.run.seed == a.config.evaluation.seed
        for meta_iteration in range(5):
            generator = RandomStreams(0, Split.TRAIN, meta_iteration).task_generator()
            tasks.append(a.env.sample_tasks(20, generator))
    every = np.concatenate(tasks)
    assert len(np.unique(every, axis=0)) == len(every) == 7 * 20


def test_the_evaluation_seed_changes_the_held_out_tasks():
    with problem() as a, problem("evaluation.seed=1") as b:
        first, second = (e.evaluate(a.initial_state(), Split.TEST) for e in (a, b))
    assert (first.task != second.task).all()


@pytest.mark.needs("no GPU")
def test_a_device_that_is_not_there():
    with pytest.raises(DeviceError, match=r"run\.device=cuda, but torch finds no CUDA device"):
        RLProblem(load_config("smoke", ["run.device=cuda"]))


def test_chunks_by_device_unless_set():
    with problem() as a, problem("meta_update.steps_per_chunk=7") as b:
        assert 0 < a.algorithm.steps_per_chunk < 10**6
        assert b.algorithm.steps_per_chunk == 7
        assert b.algorithm.collect_and_adapt.steps_per_chunk == 7
