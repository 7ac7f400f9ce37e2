"""Which iterations are validated, and which of them is kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from meta_rl.runs.best_checkpoint import BestCheckpoint
from meta_rl.runs.plain_numbers import whole_number


@dataclass(frozen=True)
class Validations:
    """What the validation tasks have said about the iterations of a run so far.

    The last iteration of a run is validated even where ``evaluation.every`` does not ask for it. A
    longer run would not have validated that iteration, so it goes on without this validation.

    Attributes:
        best: the best iteration, the one that is kept.
        best_scheduled: the best of those that ``evaluation.every`` asked for.
        last: the last iteration that was validated; 0 where none was.
        last_is_scheduled: whether ``evaluation.every`` asked for it.
    """

    best: BestCheckpoint | None = None
    best_scheduled: BestCheckpoint | None = None
    last: int = 0
    last_is_scheduled: bool = True

    def after(self, meta_iteration: int, score: float, every: int) -> Self:
        """With one more validation.

        Args:
            meta_iteration: which iteration was validated.
            score: how good it is; of equal ones the first is kept.
            every: ``evaluation.every``.
        """
        scheduled = _is_scheduled(meta_iteration, every)
        candidate = BestCheckpoint(meta_iteration, score)
        best_scheduled = self.best_scheduled
        return replace(
            self,
            best=_better(self.best, candidate),
            best_scheduled=_better(best_scheduled, candidate) if scheduled else best_scheduled,
            last=meta_iteration,
            last_is_scheduled=scheduled,
        )

    @property
    def end(self) -> int | None:
        """The iteration that was validated only because the run ended there, if one was."""
        return None if self.last_is_scheduled else self.last

    @property
    def needed_checkpoints(self) -> frozenset[int]:
        """Iterations whose checkpoints this run, or a longer one, may still report."""
        bests = (self.best, self.best_scheduled)
        return frozenset(best.meta_iteration for best in bests if best is not None)

    def of_longer_run(self) -> Self:
        """As if the run had been meant to be longer from the start."""
        if self.last_is_scheduled:
            return self
        return replace(self, best=self.best_scheduled, last=0, last_is_scheduled=True)

    def only(self, best: BestCheckpoint | None) -> Self:
        """Without any other score than this one, which is of the settings now in force."""
        return replace(self, best=best, best_scheduled=best)

    def plain_values(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return asdict(self)


NO_VALIDATION = Validations()
"""Of a run that has not been validated yet."""


def is_due(meta_iteration: int, every: int, num_meta_iterations: int) -> bool:
    """Whether an iteration is validated: where it is scheduled, and at the end of the run.

    Args:
        meta_iteration: which one.
        every: ``evaluation.every``; 0 is only at the end.
        num_meta_iterations: length of the run.
    """
    return meta_iteration == num_meta_iterations or _is_scheduled(meta_iteration, every)


def restored_validations(kept: Mapping[str, Any], meta_iteration: int) -> Validations:
    """From what a checkpoint keeps.

    Checkpoints of earlier versions keep the best one alone, and all of them count as scheduled.

    Args:
        kept: the checkpoint's trainer state.
        meta_iteration: that of the checkpoint.

    Raises:
        KeyError, TypeError, ValueError: it was not written by this trainer.
    """
    if "validations" not in kept:
        best = _restored(kept["best"])
        return Validations(best, best, meta_iteration if best else 0)
    values = kept["validations"]
    return Validations(
        _restored(values["best"]),
        _restored(values["best_scheduled"]),
        whole_number(values["last"]),
        values["last_is_scheduled"] is True,
    )


def _is_scheduled(meta_iteration: int, every: int) -> bool:
    return every > 0 and meta_iteration % every == 0


def _better(best: BestCheckpoint | None, candidate: BestCheckpoint) -> BestCheckpoint:
    return candidate if best is None or candidate.score > best.score else best


def _restored(values: Mapping[str, Any] | None) -> BestCheckpoint | None:
    return None if values is None else BestCheckpoint.from_values(values)
