"""Which problem settings describe: the one place that knows the kinds."""

from meta_rl.config import AnyConfig, Config
from meta_rl.problems.problem import Problem
from meta_rl.problems.rl import RLProblem
from meta_rl.problems.supervised import SupervisedProblem
from meta_rl.runtime.ranks import ALONE, Ranks


def make_problem(config: AnyConfig, ranks: Ranks = ALONE) -> Problem:
    """The problem that the settings describe.

    Raises:
        DatasetError, DeviceError, EnvironmentFault, RankError: as ``RLProblem`` and
            ``SupervisedProblem``.
    """
    if isinstance(config, Config):
        return RLProblem(config, ranks)
    return SupervisedProblem(config, ranks)
