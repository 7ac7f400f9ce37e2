"""Policies as files that run without this program: programs of torch.export, and ONNX."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from torch import Tensor, nn

from meta_rl.models.observation_normaliser import ObservationNormaliser
from meta_rl.models.policy import action_distribution
from meta_rl.reading import SentenceError
from meta_rl.rollouts.action_spaces import PolicySpaces
from meta_rl.types import Params

_ONNX_PACKAGES = ("onnx", "onnxscript")


class ExportError(SentenceError):
    """A policy that cannot be exported; the message is one sentence."""


class ActingNetwork(nn.Module):
    """Observation -> the most probable action in the environment's units, as one network."""

    def __init__(
        self,
        policy: nn.Module,
        params: Params,
        spaces: PolicySpaces,
        normaliser: ObservationNormaliser | None,
    ) -> None:
        """Copies what it needs.

        Args:
            policy: without memory.
            params: of the policy.
            spaces: of the environment.
            normaliser: what the policy sees observations through.
        """
        super().__init__()
        self.params = nn.ParameterDict(
            {_key(name): nn.Parameter(value.clone(), False) for name, value in params.items()}
        )
        self._names = tuple(params)
        # Not as a submodule: its own parameters are not those that act.
        self._policy = (policy,)
        self._normaliser = normaliser
        space = spaces.action_space
        self._is_box, self._is_single = isinstance(space, Box), isinstance(space, Discrete)
        if isinstance(space, Box):
            self.low = nn.Buffer(torch.from_numpy(space.low.astype(np.float64)))
            self.high = nn.Buffer(torch.from_numpy(space.high.astype(np.float64)))
        else:
            assert isinstance(space, Discrete | MultiDiscrete)
            start = np.atleast_1d(np.asarray(space.start, dtype=np.int64))
            self.start = nn.Buffer(torch.from_numpy(start))

    def forward(self, observation: Tensor) -> Tensor:
        """[batch, O] -> [batch, A], or [batch] where the action space is ``Discrete``."""
        if self._normaliser is not None:
            observation = self._normaliser(observation)
        params = {name: self.params[_key(name)] for name in self._names}
        action = action_distribution(self._policy[0], params, observation).mode()
        if self._is_box:
            centre, half_width = (self.high + self.low) / 2.0, (self.high - self.low) / 2.0
            scaled = centre + half_width * action.double()
            return torch.minimum(torch.maximum(scaled, self.low), self.high)
        choice = action + self.start
        return choice[..., 0] if self._is_single else choice


def export_network(network: ActingNetwork, observation_size: int, file: Path) -> None:
    """Writes a network for batches of any size.

    Args:
        network: what to write.
        observation_size: O.
        file: ``NAME.pt2`` or ``NAME.onnx``.

    Raises:
        ExportError: the ending is another one, the file cannot be written, or a package is missing.
    """
    if file.suffix not in (".pt2", ".onnx"):
        raise ExportError(f"the file of an exported policy ends in .pt2 or .onnx, not {file.name}")
    missing = [name for name in _ONNX_PACKAGES if find_spec(name) is None]
    if file.suffix == ".onnx" and missing:
        raise ExportError(
            f"a file {file.name} needs {' and '.join(missing)}: pip install 'meta-rl[export]'"
        )
    batch = torch.export.Dim("batch", min=1)
    # A batch of one would be taken for a constant.
    example = torch.zeros(2, observation_size)
    with torch.no_grad(), _quiet():
        program = torch.export.export(
            network.eval(), (example,), dynamic_shapes={"observation": {0: batch}}
        )
        try:
            if file.suffix == ".pt2":
                content = io.BytesIO()
                torch.export.save(program, content)
                file.write_bytes(content.getvalue())
            else:
                onnx = torch.onnx.export(
                    program, input_names=["observation"], output_names=["action"], verbose=False
                )
                assert onnx is not None
                onnx.save(file)
        except OSError as error:
            raise ExportError(f"{file} cannot be written: {error.strerror}") from None


def _key(name: str) -> str:
    """Names of parameters hold dots, which those of a dictionary of parameters must not."""
    return name.replace(".", "/")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes on themselves."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
