"""The settings that a run directory is evaluated with."""

from pathlib import Path

from meta_rl.config import AnyConfig, ConfigError, load_config
from meta_rl.training.run_kinds import kind_of


def settings_of_run(path: Path, checkpoint: AnyConfig) -> AnyConfig:
    """Those of ``config.yaml``: a checkpoint's own may be of before a resume that changed some.

    The run ended with them, so its tests are repeated with them.

    Args:
        path: what the user named, a run directory or one checkpoint.
        checkpoint: the settings of the checkpoint that was loaded; they stay where there is no
            ``config.yaml`` of the same tasks and network.
    """
    file = path / "config.yaml"
    if not file.is_file():
        return checkpoint
    try:
        run = load_config(str(file))
    except ConfigError:
        return checkpoint
    if type(run) is not type(checkpoint):
        return checkpoint
    same = all(getattr(run, s) == getattr(checkpoint, s) for s in kind_of(run).fixed_sections)
    return run if same else checkpoint
