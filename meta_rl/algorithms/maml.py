"""MAML and FOMAML for supervised tasks (Finn et al. 2017, algorithm 2)."""

from torch import Tensor
from torch.func import grad_and_value, vmap

from meta_rl.algorithms.adaptation import adapt
from meta_rl.algorithms.learner import Learner
from meta_rl.ops.params import ravel, unravel
from meta_rl.types import Params, SupervisedBatch


def maml_gradient(
    learner: Learner,
    params: Params,
    batch: SupervisedBatch,
    *,
    step_size: float,
    num_steps: int,
    first_order: bool,
) -> tuple[Tensor, Tensor]:
    """``grad of mean_task L_query(theta - alpha grad L_support(theta))``, all tasks at once.

    Without any step it is the gradient of pretraining on all tasks.

    Args:
        learner: network and losses.
        params: the meta-parameters theta.
        batch: support and query examples of M tasks.
        step_size: alpha, for a loss that is a mean over examples (see ``Learner.loss``).
        num_steps: gradient steps, all on the whole support set.
        first_order: leave second derivatives out (FOMAML).

    Returns:
        The meta-gradient [num_parameters], in the order of ``ravel``; and the query loss of each
        task after adapting, [M].
    """

    def adapted_loss(theta: Tensor, batch: SupervisedBatch) -> Tensor:
        adapted_params = adapt(
            unravel(theta, params),
            learner.support_loss,
            [batch.support] * num_steps,
            step_sizes=[step_size] * num_steps,
            first_order=first_order,
        )
        return learner.query_loss(adapted_params, batch)

    # Per task first, then the mean: under vmap that takes fewer and larger kernels than
    # differentiating the mean.
    per_task = vmap(grad_and_value(adapted_loss), in_dims=(None, 0))
    gradient, query_loss = per_task(ravel(params), batch)
    return gradient.mean(0), query_loss
