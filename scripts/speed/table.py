"""The tables of speed of scripts/results/README.md."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from speed.stages import ROUND_SECONDS
from speed.workloads import PAPER

Results = Mapping[str, Any]
"""A results file."""

DEVICES = {"cpu": "CPU", "cuda": "GPU"}
COLUMNS = {
    "half_cheetah": "HalfCheetahVel, 40 x 20 x 200",
    "half_cheetah_compiled": "the same, compiled update",
    "navigation": "2D navigation, 20 x 20 x 100",
    "navigation_compiled": "the same, compiled update",
}
KINDS = {
    "physics": "bare `Batch.step`, replaying the sampler's actions",
    "sampler": "our sampler",
    "sync_ours": "SyncVectorEnv of our HalfCheetahVel-v0",
    "sync_gymnasium": "SyncVectorEnv of Gymnasium's HalfCheetah-v5",
    "async_ours": "AsyncVectorEnv of our HalfCheetahVel-v0",
    "async_gymnasium": "AsyncVectorEnv of Gymnasium's HalfCheetah-v5",
}
STAGES = {
    "sampling": "sampling",
    "advantages": "advantages",
    "adaptation": "adaptation",
    "gradient": "gradient",
    "conjugate_gradient": "CG",
    "line_search": "line search",
    "rest": "checks and the rest",
}
ITERATION_ROWS = {
    "seconds_whole": "one meta-iteration, s",
    **{f"seconds_{stage}": f"- {name}, s" for stage, name in STAGES.items()},
    "sampler_over_physics": "sampler / bare physics",
    "meta_iteration_over_physics": "meta-iteration / bare physics of its steps",
    "peak_memory_gib": "peak memory, GiB",
    "peak_device_memory_gib": "peak memory on the GPU, GiB",
}
FLOOR_ROWS = {
    "gflop": "matrix products of one update, GFLOP",
    "gflop_per_second": "rate of a large square product, GFLOP/s",
    "gflop_per_second_own_products": "rate of the update's own products alone, GFLOP/s",
    "seconds_update": "one update, s",
    "seconds_floor": "its products at the first rate, s",
    "update_over_floor": "update / that floor",
    "seconds_own_products": "its products alone, s",
    "update_over_own_products": "update / its products alone",
}
VARIED = {
    "tasks": "tasks",
    "episodes": "episodes per task",
    "horizon": "horizon",
    "width": "policy width",
    "inner_steps": "inner steps",
}
GROWTH_COLUMNS = {
    "seconds_whole": "meta-iteration, s",
    **{f"seconds_{stage}": f"{name}, s" for stage, name in STAGES.items() if stage != "rest"},
    "peak_memory_gib": "peak memory, GiB",
}


def speed_tables(results: Mapping[str, Results | None]) -> str:
    """All tables of both devices, and what they were measured on.

    Args:
        results: device -> its results file, None where there is none; the CPU's is there.
    """
    measured = {device: value for device, value in results.items() if value is not None}
    blocks = [
        rates_table(measured),
        side_by_side(measured, "iteration", ITERATION_ROWS),
        growth_table(measured),
        side_by_side(measured, "floor", FLOOR_ROWS),
        *(provenance(device, value) for device, value in measured.items()),
    ]
    if results["cuda"] is None:
        date = measured["cpu"]["machine"]["start_time"][:10]
        blocks.append(f"GPU: not measured; no GPU was at hand on {date}.")
    return "\n\n".join(blocks)


def section_table(device: str, section: str, measured: Any) -> str:
    """The table of one section that was measured on one device."""
    tables: dict[str, Callable[[Mapping[str, Results]], str]] = {
        "rates": rates_table,
        "iteration": lambda results: side_by_side(results, "iteration", ITERATION_ROWS),
        "growth": growth_table,
        "floor": lambda results: side_by_side(results, "floor", FLOOR_ROWS),
    }
    return tables[section]({device: {section: measured}})


def rates_table(results: Mapping[str, Results]) -> str:
    """Env steps per second by kind, threads and number of simulations."""
    sizes = next(iter(results.values()))["rates"]["num_simulations"]
    rows = []
    for device, of_device in results.items():
        rates: dict[tuple[str, int | None], dict[int, float]] = {}
        for rate in of_device["rates"]["rates"]:
            by_size = rates.setdefault((rate["kind"], rate["num_threads"]), {})
            by_size[rate["num_simulations"]] = rate["steps_per_second"]
        suffix = "" if device == "cpu" else ", policy on the GPU"
        for kind, label in KINDS.items():
            for (rated, num_threads), by_size in rates.items():
                if rated == kind:
                    cells = (f"{by_size[n]:,.0f}" if n in by_size else "not run" for n in sizes)
                    threads = "" if num_threads is None else str(num_threads)
                    rows.append([label + (suffix if kind != "physics" else ""), threads, *cells])
    header = ["HalfCheetahVel, env steps/s", "threads", *(f"{n:,} simulations" for n in sizes)]
    horizon = next(iter(results.values()))["rates"]["horizon"]
    return "\n".join(
        [
            *markdown_table(header, rows),
            "",
            f"All play the same {horizon} steps from the same states with the same 100 x 100 "
            "policies, a batched forward per step; all but the bare physics count their resets. "
            "AsyncVectorEnv takes a process per simulation, and every environment that is not "
            "batched 1.6 MB, so larger numbers were not run. "
            "HalfCheetah-v5 has no tasks; its physics is the same.",
        ]
    )


def side_by_side(results: Mapping[str, Results], section: str, rows: Mapping[str, str]) -> str:
    """A column for each workload and device, of those that the section has."""
    header, columns = [""], []
    for device, of_device in results.items():
        for name, label in COLUMNS.items():
            if name in of_device[section]:
                header.append(f"{label}, {DEVICES[device]}")
                columns.append(of_device[section][name])
    lines = markdown_table(
        header,
        [
            [label, *(three_digits(column[key]) if key in column else "" for column in columns)]
            for key, label in rows.items()
            if any(key in column for column in columns)
        ],
    )
    return "\n".join(lines)


def growth_table(results: Mapping[str, Results]) -> str:
    """A line for each varied size."""
    rows = []
    for device, of_device in results.items():
        for name, points in of_device["growth"]["varied"].items():
            values = ", ".join(str(point["value"]) for point in points)
            label = f"{VARIED[name]} {values}" + ("" if device == "cpu" else ", GPU")
            cells = (" / ".join(f"{p[key]:.2g}" for p in points) for key in GROWTH_COLUMNS)
            rows.append([label, *cells])
    base = next(iter(results.values()))["growth"]["base"]
    others = ", ".join(f"{VARIED[name]} {value}" for name, value in base.items())
    return "\n".join(
        [
            *markdown_table(["HalfCheetahVel", *GROWTH_COLUMNS.values()], rows),
            "",
            f"One size varies at a time from {others}.",
        ]
    )


def provenance(device: str, results: Results) -> str:
    """Machine, versions, commit and date, in a sentence."""
    machine, columns = results["machine"], results["iteration"]
    hardware, versions = machine["hardware"], machine["versions"]
    gpu = f"{hardware['gpu']}, " if device == "cuda" else ""
    strides = " and ".join(f"{columns[name]['curvature_stride']}th" for name in PAPER)
    num_rounds = columns["half_cheetah"]["num_rounds"]
    rounds = f"medians of {num_rounds} rounds" if num_rounds > 1 else "one round"
    return (
        f"{DEVICES[device]}: {gpu}{hardware['cpu']}, {hardware['num_cpus']} CPUs, "
        f"{results['num_torch_threads']} torch "
        f"thread{'s' if results['num_torch_threads'] > 1 else ''}, torch {versions['torch']}, "
        f"mujoco {versions['mujoco']}, gymnasium {versions['gymnasium']}, commit "
        f"{machine['git']['commit'][:7]}, {machine['start_time'][:10]}; {rounds} "
        f"(of meta-iterations, at least {ROUND_SECONDS:.0f} s in each). 10 CG "
        f"iterations, curvature from every {strides} time step."
    )


def three_digits(x: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:#.3g}"


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table."""
    header = list(header)
    return [
        f"| {' | '.join(header)} |",
        "|" + "---|" * len(header),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
