"""``CONFIG section.key=value ...``, as several commands take it."""

import re
from collections.abc import Sequence

from meta_rl.config import ConfigError, preset_names

# A path may hold an equals sign, but not after a name with dots alone.
_SETTING = re.compile(r"[\w.-]*=")


def split_arguments(command: str, arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The preset's name or the path of the file, and the settings after it.

    Raises:
        ConfigError: there is no CONFIG.
    """
    if not arguments or _SETTING.match(arguments[0]):
        presets = ", ".join(preset_names())
        raise ConfigError(f"{command} needs a CONFIG first: {presets}, or the path of a YAML file")
    config, *settings = arguments
    return config, settings
