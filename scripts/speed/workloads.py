"""The settings that speed is measured at, as ``load_config`` takes them."""

HALF_CHEETAH = (
    "half_cheetah_vel",
    "rollout.meta_batch_size=40",
    "rollout.episodes_per_task=20",
    "rollout.horizon=200",
    "policy.hidden_sizes=[100,100]",
    "adaptation.num_adaptation_steps=1",
    "adaptation.multi_step=false",
    "meta_update.num_cg_iterations=10",
)
NAVIGATION = (
    "navigation",
    "rollout.meta_batch_size=20",
    "rollout.episodes_per_task=20",
    "rollout.horizon=100",
    "adaptation.num_adaptation_steps=1",
    "meta_update.num_cg_iterations=10",
)
PAPER = {"half_cheetah": HALF_CHEETAH, "navigation": NAVIGATION}
"""The MAML paper's sizes, by the name of the column that they fill."""
COMPILED = {f"{name}_compiled": (*settings, "run.compile=true") for name, settings in PAPER.items()}
"""The same with a compiled update."""
