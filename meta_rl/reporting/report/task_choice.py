"""Which tasks a report replays: a typical one, the extremes, and some between."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ChosenTask:
    """A task that is shown, and why.

    Attributes:
        index: along the tasks of the evaluation.
        reason: for the reader, for example ``"best return"``.
    """

    index: int
    reason: str


def choose_tasks(
    mean_return: np.ndarray, num_tasks: int, label: str = "return"
) -> list[ChosenTask]:
    """Chooses tasks by their returns: the typical one first, so that it is what is seen first.

    Args:
        mean_return: of each task at each adaptation step, [M, K + 1], or another quantity of which
            more is better.
        num_tasks: how many at most.
        label: what the reader calls the quantity.
    """
    final = mean_return[:, -1]
    gain = final - mean_return[:, 0]
    by_final = np.argsort(final, kind="stable").tolist()
    reasons: dict[int, list[str]] = {}

    def add(index: int, reason: str) -> None:
        reasons.setdefault(int(index), []).append(reason)

    add(by_final[(len(by_final) - 1) // 2], f"median {label}")
    add(by_final[-1], f"best {label}")
    add(by_final[0], f"worst {label}")
    if mean_return.shape[1] > 1:
        add(int(gain.argmax()), "gains most")
        add(int(gain.argmin()), "loses most" if gain.min() < 0 else "gains least")
    # The rest spreads over the ranks between the extremes.
    for rank in np.linspace(0, len(by_final) - 1, num_tasks + 2).round().astype(int)[1:-1]:
        if by_final[rank] not in reasons:
            add(by_final[rank], f"rank {len(by_final) - rank} of {len(by_final)}")
    chosen = [ChosenTask(index, ", ".join(why)) for index, why in reasons.items()]
    return chosen[:num_tasks]
