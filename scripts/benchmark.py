#!/usr/bin/env python
"""Measures rates of sampling, meta-iterations by stage, their growth and the update's floor.

    .venv/bin/python scripts/benchmark.py
    .venv/bin/python scripts/benchmark.py --device cuda

Writes scripts/results/benchmark_cpu.json, or benchmark_cuda.json for policy and update on a GPU,
and prints the tables of scripts/results/README.md. Everything that is compared is measured in
turns, and medians are taken, because machines are noisy.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from speed.floor import measure_floors
from speed.growth import measure_growth
from speed.iteration import measure_iterations
from speed.rates import measure_rates
from speed.table import DEVICES, section_table, speed_tables

from meta_rl.runs.provenance import describe_process
from meta_rl.runtime.device import DeviceError, resolve_device

RESULTS = {
    device: Path(__file__).parent / "results" / f"benchmark_{device}.json" for device in DEVICES
}
# The rates last, since this process keeps the gigabytes of Gymnasium's environments.
SECTIONS = {
    "iteration": measure_iterations,
    "growth": measure_growth,
    "floor": measure_floors,
    "rates": measure_rates,
}


def main() -> None:
    """Measures all sections in one run, or one of them to be looked at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="of policy and update")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind")
    parser.add_argument("--only", choices=SECTIONS, help="print this section and write nothing")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        resolve_device(arguments.device)
    except DeviceError as error:
        sys.exit(str(error))
    if arguments.only:
        measured = SECTIONS[arguments.only](arguments.device, arguments.rounds)
        print(section_table(arguments.device, arguments.only, measured))
        return
    results = {
        "machine": describe_process(),
        "num_torch_threads": torch.get_num_threads(),
        **{name: measure(arguments.device, arguments.rounds) for name, measure in SECTIONS.items()},
    }
    path = RESULTS[arguments.device]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    print(table())


def table() -> str:
    """The tables of scripts/results/README.md, from the results files."""
    return speed_tables(
        {
            device: json.loads(path.read_text()) if path.exists() else None
            for device, path in RESULTS.items()
        }
    )


if __name__ == "__main__":
    main()
