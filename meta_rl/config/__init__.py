"""Settings: what they are, where they come from, and what is wrong with them.

Nothing here imports torch, but for the algorithm that settings name.
"""

from meta_rl.config.algorithm import algorithm_class
from meta_rl.config.effects import changed_settings, effect_of, plain_settings, with_settings
from meta_rl.config.loading import (
    AnyConfig,
    config_from_mapping,
    config_to_yaml,
    load_config,
    preset_names,
)
from meta_rl.config.problems import ConfigError
from meta_rl.config.rules import Contradiction, Rule, Settings, not_greater, refused
from meta_rl.config.schema import Config, RunKind
from meta_rl.config.section import Count, Effect, PositiveInt, Section, Seed, setting
from meta_rl.config.supervised import FewShotRunConfig, SineRunConfig, SupervisedConfig

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
    "algorithm_class",
    "changed_settings",
    "config_from_mapping",
    "config_to_yaml",
    "effect_of",
    "load_config",
    "not_greater",
    "plain_settings",
    "preset_names",
    "refused",
    "setting",
    "with_settings",
]
