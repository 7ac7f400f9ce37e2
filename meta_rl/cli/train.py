"""``meta-rl train``: starts or continues a run."""

from pathlib import Path
from typing import Annotated

import typer

from meta_rl.cli.exits import one_sentence_errors, stop_on_signals
from meta_rl.cli.trust import Trust, allow_module, trust_before_loading


def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG [section.key=value ...]",
            help="A preset's name or the path of a YAML file, then settings to change. "
            "With --resume, only settings.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Continue this run directory instead of starting one."),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved settings and stop.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Meta-train a policy, or continue a run."""
    with one_sentence_errors():
        from meta_rl.cli.config_argument import split_arguments
        from meta_rl.config import ConfigError, config_with_comments, load_config
        from meta_rl.launch.lifeline import end_with_starter
        from meta_rl.runs.trusted_runs import run_of_file

        end_with_starter()
        if resume is not None:
            name, overrides = str(resume / "config.yaml"), arguments or []
        else:
            name, overrides = split_arguments("train", arguments or [])
        if resume is not None and not Path(name).is_file():
            raise ConfigError(f"{resume} is not a run directory: it holds no config.yaml")
        trust_before_loading(name, trust=trust)
        config = load_config(name, overrides)
        if resume is not None and config.run.dir is not None:
            raise ConfigError(f"run.dir cannot be changed: --resume goes on in {resume}")
        if print_config:
            typer.echo(config_with_comments(config), nl=False)
            return
        allow_module(config, resume or run_of_file(Path(name)), overrides, trust=trust)

    # Here, so that a mistake in the settings is reported without waiting for torch.
    from meta_rl.reporting.adaptation_tables import print_adaptation_curves
    from meta_rl.runs.plain_line import plain_console, print_line
    from meta_rl.runs.run_directory import run_to_restart
    from meta_rl.runtime.ranks import is_restart, join_ranks
    from meta_rl.training.jobs import resume_run, start_run

    with stop_on_signals(), one_sentence_errors(), join_ranks() as ranks:
        # The other ranks have nothing to say that the first does not.
        console = plain_console(quiet=not ranks.is_first)
        if resume is None and is_restart():
            resume = run_to_restart(config)
        if resume is not None:
            result = resume_run(resume, config, console, ranks)
        else:
            result = start_run(config, Path(name).stem, console, ranks)
    print_adaptation_curves(console, result.curves, result.tasks.words)
    print_line(console, f"Run directory: {result.path}")
