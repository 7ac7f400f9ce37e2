"""Settings: what they are, where they come from, and what is wrong with them.

Nothing here imports torch, so a mistake in a configuration is reported at once.
"""

from meta_rl.config.loading import config_from_mapping, config_to_yaml, load_config, preset_names
from meta_rl.config.problems import ConfigError
from meta_rl.config.schema import (
    AdaptationConfig,
    Config,
    EnvConfig,
    EvaluationConfig,
    MetaUpdateConfig,
    PolicyConfig,
    RolloutConfig,
    RunConfig,
)

__all__ = [
    "AdaptationConfig",
    "Config",
    "ConfigError",
    "EnvConfig",
    "EvaluationConfig",
    "MetaUpdateConfig",
    "PolicyConfig",
    "RolloutConfig",
    "RunConfig",
    "config_from_mapping",
    "config_to_yaml",
    "load_config",
    "preset_names",
]
