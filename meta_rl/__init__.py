"""Meta-reinforcement learning in PyTorch: MAML-TRPO on batched environments.

``load``, ``train``, ``evaluate``, ``Policy`` and ``Episode`` are those of ``meta_rl.api``, which is
imported when one of them is used: the commands start without waiting for torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meta_rl.api import Episode, Policy, evaluate, load, train

__all__ = ["Episode", "Policy", "__version__", "evaluate", "load", "train"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        from meta_rl import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
