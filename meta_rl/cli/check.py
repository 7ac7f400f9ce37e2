"""``meta-rl check``: looks at an environment before anything is trained on it."""

import sys
from typing import Annotated

import typer

from meta_rl.cli.exits import one_sentence_errors, stop_on_signals


def check(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ENV [section.key=value ...]",
            help="An environment's id, module:Env-v0, or a CONFIG as for train; then settings.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Play short episodes of an environment and say what training would trip over."""
    with stop_on_signals(), one_sentence_errors():
        from meta_rl.config import Config, ConfigError, load_config, preset_names

        if not arguments:
            raise ConfigError("check needs an environment's id, a preset or a YAML file first")
        name, *overrides = arguments
        is_config = name in preset_names() or name.endswith((".yaml", ".yml"))
        if not is_config:
            # Any preset of an environment has settings that no check depends on.
            name, overrides = "smoke", ["env.options={}", *overrides, f"env.id={name}"]
        config = load_config(name, overrides)
        if not isinstance(config, Config):
            raise ConfigError(f"{name} has no environment to check, but data")

        from meta_rl.rollouts.environments import check_env

        findings = check_env(config)
    for finding in findings:
        typer.echo(f"{finding.severity.capitalize()}: {finding.message}.", err=True)
    num_errors = sum(finding.severity == "error" for finding in findings)
    if num_errors:
        sys.exit(1)
    count = len(findings)
    told = {0: "nothing to mend", 1: "1 warning"}.get(count, f"{count} warnings")
    typer.echo(f"{config.env.id} can be trained on: {told}.")
