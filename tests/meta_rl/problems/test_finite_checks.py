"""Each quantity, once not finite, stops training with the moment, the task and itself named."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from envs.batched_task_env import BatchedTaskEnv
from meta_rl.algorithms.adaptation import adapt
from meta_rl.algorithms.inner_loop import PolicyGradientAdaptation
from meta_rl.algorithms.maml_trpo import MamlTrpo
from meta_rl.config import load_config
from meta_rl.ops.params import repeat_per_task
from meta_rl.problems.finite_checks import faults_during
from meta_rl.problems.playing import Rollouts, TaskPlay
from meta_rl.problems.rl import RLProblem
from meta_rl.rollouts.environments import EnvironmentFault
from meta_rl.rollouts.sampler import NumericalError, single_torch_thread
from meta_rl.runs.checkpoint import load_checkpoint
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.training.jobs import start_run
from meta_rl.types import AlgorithmState, Params, PolicyGradientBatch

TASKS = np.array([[0.5], [-1.25], [2.0]])
NAMED = r"is not finite \(task goal=-1.25\)$"


@pytest.fixture(autouse=True)
def _one_thread():
    with single_torch_thread():
        yield


# Whole runs, in which the environment returns a bad number in one place


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes what one simulation returns from meta-iteration 3, adaptation step 1 on."""
    num_calls = 0
    set_tasks, step = BatchedTaskEnv.set_tasks, BatchedTaskEnv.step

    def counted(self: BatchedTaskEnv, tasks: np.ndarray) -> None:
        nonlocal num_calls
        num_calls += 1
        set_tasks(self, tasks)

    def install(change: Callable[..., None]) -> None:
        def poisoned(self: BatchedTaskEnv, action: np.ndarray) -> Any:
            outcome = step(self, action)
            if num_calls >= 6:  # one call for each of an iteration's two steps
                change(*outcome)
            return outcome

        monkeypatch.setattr(BatchedTaskEnv, "set_tasks", counted)
        monkeypatch.setattr(BatchedTaskEnv, "step", poisoned)

    return install


def run(path: Path, *overrides: str) -> list[dict[str, Any]]:
    settings = ["run.device=cpu", "evaluation.every=0", "rollout.num_threads=1", f"run.dir={path}"]
    start_run(load_config("smoke", [*settings, *overrides]), "smoke", Console(file=io.StringIO()))
    return metrics(path)


def metrics(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def put(index: int, value: float) -> Callable[..., None]:
    """Puts a number into simulation 5: the second task's second episode."""

    def change(*outcome: Any) -> None:
        outcome[index][5] = value

    return change


OBSERVATION, REWARD, TERMINATED, INFO = 0, 1, 2, 4


@pytest.mark.parametrize(
    ("change", "error", "quantity"),
    [
        (put(OBSERVATION, np.nan), EnvironmentFault, "non-finite observation"),
        (put(OBSERVATION, np.inf), EnvironmentFault, "non-finite observation"),
        (put(OBSERVATION, 1e300), EnvironmentFault, "non-finite observation"),
        (put(REWARD, np.nan), EnvironmentFault, "non-finite reward"),
        (put(REWARD, -np.inf), EnvironmentFault, "non-finite reward"),
        (put(REWARD, 3e38), NumericalError, "an advantage is not finite"),
    ],
)
def test_a_bad_number_from_the_environment(
    tmp_path: Path, poison, change, error, quantity, recwarn: pytest.WarningsRecorder
):
    poison(change)
    with pytest.raises(error) as caught:
        run(tmp_path / "run")
    streams = RandomStreams(0, Split.TRAIN, 2)
    with RLProblem(load_config("smoke", ["run.device=cpu"])) as problem:
        x, y = problem.env.sample_tasks(3, streams.task_generator())[1]
    message = str(caught.value)
    # What comes of the last episodes is found by the update.
    moment = "adaptation step 1" if error is EnvironmentFault else "meta-update"
    assert message.startswith(f"meta-iteration 3: {moment}: ")
    assert quantity in message
    assert f"(task goal_x={x:g}, goal_y={y:g})" in message
    assert "\n" not in message
    assert load_checkpoint(tmp_path / "run").meta_iteration == 2
    assert len(metrics(tmp_path / "run")) == 2
    assert not recwarn.list


def diverge(*outcome: Any) -> None:
    outcome[TERMINATED][5:7] = outcome[INFO]["diverged"][5:7] = True


def test_diverged_simulations_are_counted_up_to_a_share(tmp_path: Path, poison):
    poison(diverge)
    lines = run(tmp_path / "run", "rollout.max_diverged_share=0.2")
    assert [line["num_diverged_episodes"] for line in lines] == [0, 0, 2, 4]
    assert all(np.isfinite(line["train_return"]).all() for line in lines)


def test_too_many_diverged_simulations_are_an_error(tmp_path: Path, poison):
    poison(diverge)
    expected = (
        "meta-iteration 3: adaptation step 1: 2 of 12 simulations diverged, a greater share "
        "than rollout.max_diverged_share=0.1 allows"
    )
    with pytest.raises(EnvironmentFault, match=f"^{expected}$"):
        run(tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").meta_iteration == 2


def test_a_step_size_that_overflows(tmp_path: Path):
    expected = (
        r"^meta-iteration 1: adaptation step 1: the adapted parameter .* is not finite \(task"
    )
    with pytest.raises(NumericalError, match=expected):
        run(tmp_path / "run", "adaptation.inner_step_size=1e300")
    assert load_checkpoint(tmp_path / "run").meta_iteration == 0
    assert metrics(tmp_path / "run") == []


def test_a_poisoned_parameter_is_neither_gone_on_with_nor_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    update, calls = MamlTrpo.update, []

    def poisoned(*args: Any) -> Any:
        state, metrics = update(*args)
        calls.append(1)
        if len(calls) == 3:
            state = state._replace(params={n: value.clone() for n, value in state.params.items()})
            state.params["log_std"][0] = torch.inf
        return state, metrics

    monkeypatch.setattr(MamlTrpo, "update", poisoned)
    expected = "^meta-iteration 3: meta-update: the meta-parameter log_std is not finite$"
    with pytest.raises(NumericalError, match=expected):
        run(tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").meta_iteration == 2


def test_an_evaluation_says_when_it_was(tmp_path: Path, poison):
    poison(put(REWARD, np.nan))
    with pytest.raises(EnvironmentFault, match=r"^evaluation after meta-iteration 2: adaptation"):
        run(tmp_path / "run", "evaluation.every=2")


# The checks themselves, on a linear policy whose numbers are easy to break


class GivenBatches(PolicyGradientAdaptation):
    """Has been at the batches already that an algorithm asks for."""

    def batch(self, episodes: Any) -> Any:
        return episodes

    def __call__(self, meta_params: Params, play: TaskPlay, num_steps: int) -> Any:
        return play.seen, play.seen[:-1]


class Problem:
    """Three tasks with a linear policy that is zero, and episodes that can be spoilt."""

    def __init__(self, surrogate: str = "log_prob") -> None:
        overrides = ["policy.hidden_sizes=[]", f"adaptation.surrogate={surrogate}"]
        with RLProblem(load_config("smoke", ["run.device=cpu", *overrides])) as problem:
            self.problem, self.algorithm = problem, problem.algorithm
            initial = problem.initial_state().params
        self.params: Params = {name: torch.zeros_like(value) for name, value in initial.items()}
        adaptation = self.algorithm.collect_and_adapt
        self.inner_loop = adaptation.inner_loop
        self.algorithm.collect_and_adapt = GivenBatches(**vars(adaptation))
        generator = torch.Generator().manual_seed(0)
        shape = (3, 4, 5)
        self.batches = [
            PolicyGradientBatch(
                observation=torch.randn(*shape, 2, generator=generator),
                action=torch.randn(*shape, 2, generator=generator),
                old_log_prob=torch.zeros(shape),
                advantage=torch.randn(shape, generator=generator),
                weight=torch.ones(shape),
            )
            for _ in range(2)
        ]

    def adapted(self, step_size: float) -> Params:
        def one(params: Params, batch: PolicyGradientBatch) -> Params:
            loss = self.inner_loop.loss
            return adapt(params, loss, [batch], step_sizes=[step_size], first_order=True)

        return torch.vmap(one)(repeat_per_task(self.params, 3), self.batches[0])

    def play(self, batches: list[PolicyGradientBatch]) -> TaskPlay:
        """That has had these."""
        play = TaskPlay(
            Rollouts(self.problem.policy, 4, 5, 0.1),
            SimpleNamespace(task_parameter_names=["goal"]),
            TASKS,
            RandomStreams(0, Split.TRAIN, 0),
            algorithm=self.algorithm,
            name="maml_trpo",
            clock=StageClock(torch.device("cpu")),
        )
        play.seen = batches
        return play

    def check_adaptation(self, step_size: float = 0.1) -> None:
        play = self.play(self.batches[:1])
        play._params = repeat_per_task(self.params, 3)
        play._check_params(self.adapted(step_size))

    def check_meta_update(self) -> None:
        play, before = self.play(self.batches), AlgorithmState(self.params, {})
        after, metrics = self.algorithm.update(before, play, 0)
        self.problem._check_finite(before, after, metrics, play)


def test_what_is_finite_passes():
    problem = Problem()
    problem.check_adaptation()
    problem.check_meta_update()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    ("name", "quantity"), [("advantage", "an advantage"), ("old_log_prob", "a log-probability")]
)
def test_advantages_and_log_probabilities(name: str, quantity: str, value: float):
    # A log-probability counts in a ratio alone.
    for stage, check in ((0, Problem.check_adaptation), (1, Problem.check_meta_update)):
        problem = Problem("likelihood_ratio")
        getattr(problem.batches[stage], name)[1, 2, 3] = value
        if name == "old_log_prob" and value == torch.inf:
            check(problem)  # its ratio is 0
            continue
        with pytest.raises(NumericalError, match=f"^{quantity} {NAMED}"):
            check(problem)


def test_the_loss_of_adaptation():
    problem = Problem("likelihood_ratio")
    problem.batches[0].old_log_prob[1] = -1e30  # a likelihood ratio beyond all bounds
    with pytest.raises(NumericalError, match=f"^the loss of adaptation {NAMED}"):
        problem.check_adaptation()


def test_the_gradient_of_adaptation():
    problem = Problem()
    problem.batches[0].action[1] = 1e4
    problem.batches[0].observation[1] = 3e38  # times zero weights: the loss stays as it was
    with pytest.raises(NumericalError, match=rf"^the gradient of adaptation \(.*weight\) {NAMED}"):
        problem.check_adaptation()


def test_an_adapted_parameter():
    problem = Problem()
    problem.batches[0].advantage[[0, 2]] = 0.0
    problem.batches[0].advantage[1] = 1e3
    with pytest.raises(NumericalError, match=f"^the adapted parameter .* {NAMED}"):
        problem.check_adaptation(step_size=3e38)


def test_the_meta_loss():
    problem = Problem()
    problem.batches[1].old_log_prob[1] = -1e30
    with pytest.raises(NumericalError, match=f"^the meta-loss {NAMED}"):
        problem.check_meta_update()


def test_the_meta_gradient():
    problem = Problem()
    problem.batches[0].advantage.zero_()  # adapting changes nothing
    problem.batches[1].advantage[1] *= 1e5
    problem.batches[1].observation[1] = 3e38
    with pytest.raises(NumericalError, match=rf"^the meta-gradient \(.*\) {NAMED}"):
        problem.check_meta_update()


def test_a_fault_keeps_its_type_and_the_workers_traceback():
    with (
        pytest.raises(EnvironmentFault, match=r"^late: early: broken$") as caught,
        faults_during("late"),
        faults_during("early"),
    ):
        raise EnvironmentFault("broken", "Traceback")
    assert caught.value.worker_traceback == "Traceback"
