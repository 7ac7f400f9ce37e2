"""Settings: what they are, where they come from, and what is wrong with them.

Nothing here imports torch, so a mistake in a configuration is reported at once.
"""

from meta_rl.config.loading import (
    AnyConfig,
    config_from_mapping,
    config_to_yaml,
    load_config,
    preset_names,
)
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
from meta_rl.config.supervised import FewShotRunConfig, SineRunConfig, SupervisedConfig

__all__ = [
    "AdaptationConfig",
    "AnyConfig",
    "Config",
    "ConfigError",
    "EnvConfig",
    "EvaluationConfig",
    "FewShotRunConfig",
    "MetaUpdateConfig",
    "PolicyConfig",
    "RolloutConfig",
    "RunConfig",
    "SineRunConfig",
    "SupervisedConfig",
    "config_from_mapping",
    "config_to_yaml",
    "load_config",
    "preset_names",
]
