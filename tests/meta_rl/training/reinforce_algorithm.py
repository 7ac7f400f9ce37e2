"""Algorithms as users write them, in a file outside of the package, and what may be wrong there."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from meta_rl.config import Contradiction, Effect, Section, Settings, setting
from meta_rl.types import AlgorithmState


class Step(Section):
    """The one step that is taken."""

    size: float = setting(0.01, meaning="Of a step.", effect=Effect.TRAINING, gt=0)
    smallest: float = setting(0.0, meaning="It is not smaller.", effect=Effect.TRAINING, ge=0)
    fault: str = setting("", meaning="What is wrong on purpose.", effect=Effect.TRAINING)


def _not_too_small(settings: Settings) -> Iterator[Contradiction]:
    if settings("step.size") < settings("step.smallest"):
        yield "step.size", "step.size should not be smaller than step.smallest"


class Reinforce:
    """One policy for all tasks, by REINFORCE with momentum; adapting plays it again."""

    learns_from = "episodes"
    sections: ClassVar = {"step": Step}
    rules = (_not_too_small,)

    def __init__(self, config, policy, context):
        self.policy, self.step = policy, config.step

    def initial_state(self, generator):
        params = {name: value.detach().clone() for name, value in self.policy.named_parameters()}
        # What is drawn here is a function of run.seed.
        memory = {name: torch.zeros_like(value) for name, value in params.items()}
        memory["luck"] = torch.rand(2, generator=generator)
        return params if self.step.fault == "no state" else AlgorithmState(params, memory)

    def adapt(self, state, play, num_steps):
        if self.step.fault == "too few stages" and num_steps:
            num_steps -= 1
        repeated = {
            name: value.expand(play.num_tasks, *value.shape) for name, value in state.params.items()
        }
        played = state.params if self.step.fault == "not for every task" else repeated
        stages = [play(played) for _ in range(num_steps + 1)]
        if self.step.fault == "rewards" and num_steps:
            return [stage.reward for stage in stages]
        return stages

    def update(self, state, play, meta_iteration):
        if self.step.fault == "never plays":
            return state, {}
        episodes = self.adapt(state, play, num_steps=0)[0]
        returns = episodes.episode_return
        advantage = (returns - returns.mean(1, keepdim=True))[..., None]

        def loss(params):
            distribution, _ = functional_call(self.policy, params, (episodes.observation, ()))
            log_prob = distribution.log_prob(episodes.action)
            return -(log_prob * advantage * episodes.valid).mean()

        gradient, value = grad_and_value(loss)(state.params)
        memory = {name: 0.9 * state.memory[name] + g for name, g in gradient.items()}
        params = {name: p - self.step.size * memory[name] for name, p in state.params.items()}
        memory["luck"] = state.memory["luck"] / 2
        metrics = {"train_loss": value, "luck": memory["luck"], "halves": meta_iteration}
        return self._spoilt(AlgorithmState(params, memory), metrics)

    def _spoilt(self, state, metrics):
        fault = self.step.fault
        if fault == "no pair":
            return state
        if fault == "a metric that is no number":
            metrics["shape"] = {"a": 1}
        if fault == "another shape":
            state.params["log_std"] = torch.zeros(1)
        if fault == "another type":
            state.params["log_std"] = state.params["log_std"].double()
        if fault == "another memory":
            state.memory["more"] = torch.zeros(1)
        if fault == "not finite":
            state.params["log_std"] = state.params["log_std"] / 0.0
        return state, metrics

    @staticmethod
    def progress(record):
        return {"reinforce": f"{record['train_loss']:.3g}"}


class WithoutUpdate:
    """Lacks a verb."""

    learns_from = "episodes"

    def initial_state(self, generator): ...

    def adapt(self, state, play, num_steps): ...


class Centre:
    """Fits the mean of all tasks by plain gradients, and adapts by one gradient step."""

    learns_from = "examples"
    sections: ClassVar = {"step": Step}

    def __init__(self, config, learner, context):
        self.learner, self.step = learner, config.step

    def initial_state(self, generator):
        params = {n: value.detach().clone() for n, value in self.learner.network.named_parameters()}
        return AlgorithmState(params, {"num_updates": torch.zeros(())})

    def adapt(self, state, data, num_steps):
        def one_task(batch) -> Tensor:
            params, outputs = state.params, []
            for step in range(num_steps + 1):
                if step:
                    gradient, _ = grad_and_value(self.learner.support_loss)(params, batch.support)
                    params = {n: p - self.step.size * gradient[n] for n, p in params.items()}
                outputs.append(self.learner.query_prediction(params, batch))
            return torch.stack(outputs)

        stages = list(vmap(one_task)(data.batch).unbind(1))
        return stages[1:] if self.step.fault == "too few stages" else stages

    def update(self, state, data, meta_iteration):
        def loss(params):
            return vmap(self.learner.query_loss, in_dims=(None, 0))(params, data.batch).mean()

        gradient, value = grad_and_value(loss)(state.params)
        params = {name: p - self.step.size * gradient[name] for name, p in state.params.items()}
        memory = {"num_updates": state.memory["num_updates"] + 1}
        return AlgorithmState(params, memory), {"train_loss": float(value)}
