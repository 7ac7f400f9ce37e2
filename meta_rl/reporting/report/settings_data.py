"""Settings, versions and machine of runs, as plain values."""

import json
from collections.abc import Sequence
from typing import Any

from meta_rl.config import AnyConfig, plain_settings
from meta_rl.config.kinds import fields_of
from meta_rl.reporting.report.run_record import RunRecord

_NOT_KNOWN = "not known"


def run_data(record: RunRecord) -> dict[str, Any]:
    """A run's name and facts: what was trained for how long, with what, on what."""
    facts, saved = record.facts, record.saved
    hardware, versions = facts.get("hardware") or {}, facts.get("versions") or {}
    last = record.metrics[-1] if record.metrics else {}
    env_steps, seconds = last.get("env_steps"), last.get("seconds_total")
    accepted = [entry["accepted"] for entry in record.metrics if "accepted" in entry]
    resumed = len(facts.get("resumed") or [])
    of_episodes = record.quantities == ("return",)
    steps = f"{env_steps:,}" if env_steps is not None else _NOT_KNOWN
    values = {
        "Folder": str(saved.path),
        ("Environment" if of_episodes else "Tasks"): record.title,
        "Algorithm": saved.config.algorithm.name,
        "Seed": str(saved.config.run.seed),
        "Meta-iterations": f"{record.completed_iterations} of {saved.config.run.meta_iterations}",
        "Iteration reported": str(saved.meta_iteration),
        **(
            {"Line searches that found a step": f"{sum(accepted)} of {len(accepted)}"}
            if accepted
            else {}
        ),
        **({"Environment steps": steps} if of_episodes else {}),
        "Training time": _duration(seconds) if seconds is not None else _NOT_KNOWN,
        "Started": facts.get("start_time", _NOT_KNOWN),
        **({"Resumed": f"{resumed} times" if resumed > 1 else "once"} if resumed else {}),
        "Commit": _commit(facts.get("git")),
        "CPU": f"{hardware.get('cpu', _NOT_KNOWN)}, {hardware.get('num_cpus', '?')} CPUs"
        if hardware
        else _NOT_KNOWN,
        "GPU": (hardware.get("gpu") or "none") if hardware else _NOT_KNOWN,
        **{f"{name} version": str(version) for name, version in versions.items()},
    }
    return {"name": record.name, "facts": [[label, str(value)] for label, value in values.items()]}


def settings_data(configs: Sequence[AnyConfig]) -> list[dict[str, Any]]:
    """Every setting with its meaning; ``values`` holds one entry where all runs agree.

    All but ``run.dir``, the folder, which ``run_data`` names.
    """
    settings = [plain_settings(config) for config in configs]
    meanings = {
        name: field.description or ""
        for config in configs
        for name, field in fields_of(type(config)).items()
    }
    table = []
    for name in meanings:
        if name == "run.dir":
            continue
        values = [_text(of_run[name]) if name in of_run else "\u2013" for of_run in settings]
        table.append(
            {
                "name": name,
                "values": values if len(set(values)) > 1 else values[:1],
                "description": meanings[name],
            }
        )
    return table


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _commit(git: Any) -> str:
    if not isinstance(git, dict) or not git.get("commit"):
        return _NOT_KNOWN
    return str(git["commit"])[:10] + (", with changes" if git.get("dirty") else "")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
