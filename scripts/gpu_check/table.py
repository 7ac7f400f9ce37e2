"""What a GPU does, as a table of scripts/results/README.md."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from speed.table import DEVICES, markdown_table, three_digits

RESULTS = Path(__file__).parents[1] / "results" / "gpu_check.json"
NOT_MEASURED = "not measured"
Row = Mapping[str, Any]
Cell = Callable[[Row], float]


def milliseconds(key: str) -> Cell:
    """Of a time in seconds."""
    return lambda row: 1000.0 * row[key]


def number(key: str) -> Cell:
    """As it is."""
    return lambda row: row[key]


# Row of the results, how a line is labelled, and what it shows.
LINES: tuple[tuple[str, str, Cell], ...] = (
    ("navigation", "2D navigation: update, ms (aim 15)", milliseconds("seconds_update")),
    ("navigation", "2D navigation: meta-iteration, ms", milliseconds("seconds_whole")),
    ("half_cheetah", "HalfCheetahVel: update, ms (aim 60)", milliseconds("seconds_update")),
    ("half_cheetah", "HalfCheetahVel: meta-iteration, ms", milliseconds("seconds_whole")),
    (
        "half_cheetah",
        "HalfCheetahVel: sampler / bare physics (aim .9)",
        number("sampler_over_physics"),
    ),
    (
        "half_cheetah",
        "HalfCheetahVel: meta-iteration / bare physics of its steps (aim 1.1)",
        number("meta_iteration_over_physics"),
    ),
    ("half_cheetah", "HalfCheetahVel: peak memory, GiB", number("peak_memory_gib")),
    (
        "half_cheetah",
        "HalfCheetahVel: peak memory on the GPU, GiB",
        number("peak_device_memory_gib"),
    ),
    ("sine", "sinusoids, MAML: iterations/s", number("iterations_per_second")),
    ("sine_compiled", "sinusoids, MAML, compiled: iterations/s", number("iterations_per_second")),
    ("omniglot", "Omniglot's net on glyphs, MAML: iterations/s", number("iterations_per_second")),
    (
        "omniglot_compiled",
        "the same, compiled: iterations/s (aim 150)",
        number("iterations_per_second"),
    ),
)


def table(path: Path = RESULTS) -> str:
    """The table; what is not in the file says so.

    Args:
        path: ``gpu_check.json``, which need not exist.
    """
    check = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    parts = {name: part["results"] for name, part in check["parts"].items()}
    rows: dict[str, dict[str, Row]] = {}
    for results in parts.values():
        rows.update(results.get("rows", {}))
    lines = [
        [
            label,
            *(_cell(rows.get(name, {}).get(device), value, device, label) for device in DEVICES),
        ]
        for name, label, value in LINES
    ]
    lines += [
        ["2D navigation, trained to its end, s", "", _training(parts.get("navigation"))],
        ["- return before adapting and after each step", "", _curve(parts.get("navigation"))],
        ["HalfCheetahVel, 20 meta-iterations, s", "", _training(parts.get("half_cheetah"))],
        ["tests that need a GPU", "", _tests(parts)],
    ]
    header = ["", *DEVICES.values()]
    return "\n".join([*markdown_table(header, lines), "", _provenance(check, parts)])


def _cell(row: Row | None, value: Cell, device: str, label: str) -> str:
    if device == "cpu" and "GPU" in label:
        return ""
    try:
        return NOT_MEASURED if row is None else three_digits(value(row))
    except KeyError:
        return NOT_MEASURED


def _training(results: Mapping[str, Any] | None) -> str:
    if not results or not results.get("seconds_training"):
        return NOT_MEASURED
    return f"{results['seconds_training']:.0f} ({results['meta_iterations']} meta-iterations)"


def _curve(results: Mapping[str, Any] | None) -> str:
    curves = (results or {}).get("test_return")
    if not curves:
        return NOT_MEASURED
    return ", ".join(f"{value:.2f}" for value in list(curves.values())[-1])


def _tests(parts: Mapping[str, Mapping[str, Any]]) -> str:
    outcomes = Counter(
        test["outcome"] for results in parts.values() for test in results.get("tests", {}).values()
    )
    outcomes.pop("skipped", None)
    counts = [f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), reverse=True)]
    return ", ".join(counts) or NOT_MEASURED


def _provenance(check: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> str:
    machines = [results["machine"] for results in parts.values() if "machine" in results]
    if not machines:
        return "No GPU was at hand yet; `scripts/check_gpu` measures all of it on the first one."
    machine = machines[0]
    hardware, git = machine["hardware"], machine["git"]
    commit = f"commit {git['commit'][:7]}, " if git and git["commit"] else ""
    return (
        f"{hardware['gpu'] or 'no GPU'}, {hardware['cpu']}, {hardware['num_cpus']} CPUs, torch "
        f"{machine['versions']['torch']}, {commit}{machine['start_time'][:10]}; medians, in one "
        f"run of {check['seconds']:.0f} s."
    )
