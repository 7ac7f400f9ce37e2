"""Where a run is shown besides its own files: one file per sink."""

from meta_rl.runs.sinks.sink import OpenSink, Sink
from meta_rl.runs.sinks.wandb_sink import open_wandb

__all__ = ["SINKS", "Sink"]

SINKS: tuple[OpenSink, ...] = (open_wandb,)
"""All of them; each opens itself where the settings ask for it."""
