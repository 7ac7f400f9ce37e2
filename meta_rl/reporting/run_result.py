"""What a finished run has to show, on the screen."""

from rich.console import Console

from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.curves.supervised_curve import SupervisedCurve
from meta_rl.reporting.adaptation_tables import print_adaptation_curves
from meta_rl.reporting.supervised_tables import print_supervised_curves
from meta_rl.training.jobs import TrainingResult


def print_result(console: Console, result: TrainingResult) -> None:
    """Prints the adaptation curves on the test tasks, in the form of the run's kind."""
    curves = result.curves
    returns = {name: c for name, c in curves.items() if isinstance(c, AdaptationCurve)}
    supervised = {name: c for name, c in curves.items() if isinstance(c, SupervisedCurve)}
    if returns:
        print_adaptation_curves(console, returns, title=f"Return on {result.tasks.words}")
    if supervised:
        print_supervised_curves(console, supervised)
