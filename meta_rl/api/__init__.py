"""meta-rl in one's own program: trained policies that adapt and act, training, evaluation.

A mistake that the caller can mend is a ``ValueError`` of one sentence, one of an environment an
``EnvironmentFault``; nothing here ends a program.
"""

from meta_rl.api.episode import Episode
from meta_rl.api.jobs import evaluate, train
from meta_rl.api.loading import load
from meta_rl.api.policy import Policy

__all__ = ["Episode", "Policy", "evaluate", "load", "train"]
