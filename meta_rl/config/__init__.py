"""Settings: what they are, where they come from, and what is wrong with them.

Nothing here imports torch, but for the algorithm that settings name.
"""

from meta_rl.config.algorithm import algorithm_class
from meta_rl.config.commented import config_with_comments
from meta_rl.config.effects import changed_settings, effect_of, plain_settings, with_settings
from meta_rl.config.layers import preset_names
from meta_rl.config.loading import AnyConfig, config_from_mapping, config_to_yaml, load_config
from meta_rl.config.problems import ConfigError
from meta_rl.config.rules import Contradiction, Rule, Settings, not_greater, refused
from meta_rl.config.schema import Config, RunKind
from meta_rl.config.section import Count, Effect, PositiveInt, Section, Seed, setting
from meta_rl.config.supervised import FewShotRunConfig, SineRunConfig, SupervisedConfig
from meta_rl.config.trust import UntrustedRunError

__all__ = [
    "AnyConfig",
    "Config",
    "ConfigError",
    "Contradiction",
    "Count",
    "Effect",
    "FewShotRunConfig",
    "PositiveInt",
    "Rule",
    "RunKind",
    "Section",
    "Seed",
    "Settings",
    "SineRunConfig",
    "SupervisedConfig",
    "UntrustedRunError",
    "algorithm_class",
    "changed_settings",
    "config_from_mapping",
    "config_to_yaml",
    "config_with_comments",
    "effect_of",
    "load_config",
    "not_greater",
    "plain_settings",
    "preset_names",
    "refused",
    "setting",
    "with_settings",
]
