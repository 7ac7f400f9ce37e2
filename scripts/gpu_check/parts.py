"""The parts of the check, each in a process of its own: ``python -m gpu_check.parts NAME``.

A part prints each result when it has it.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from speed.experiment_process import host_peak_gib

from gpu_check.part_process import MARK
from gpu_check.speed_rows import measure_rl, measure_supervised
from meta_rl.cli.exits import Stopped, stop_on_signals
from meta_rl.config import load_config
from meta_rl.runs.provenance import describe_process
from meta_rl.training.jobs import start_run

ROOT = Path(__file__).parents[2]
TINY_ROLLOUT = (
    *("rollout.meta_batch_size=3", "rollout.episodes_per_task=2", "rollout.horizon=10"),
    *("evaluation.num_tasks=3", "evaluation.episodes_per_task=2", "run.meta_iterations=2"),
)
TESTS = "tests/devices"


def report(**results: Any) -> None:
    """Prints results for the journal."""
    print(MARK + json.dumps(results), flush=True)


def run_tests(*, is_dry: bool) -> None:
    """The tests that need a GPU, but for those that compile."""
    del is_dry  # without a GPU they are skipped
    _pytest("cuda and not slow")


def run_speed(*, is_dry: bool) -> None:
    """Updates and whole iterations on both devices, in turns."""
    devices, seconds = _devices(is_dry), 1.0 if is_dry else 15.0
    tiny = TINY_ROLLOUT if is_dry else ()
    for workload in ("half_cheetah", "navigation"):
        measure_rl(report, workload, tiny, devices, seconds)
    for workload in ("sine", "omniglot"):
        for device in devices:
            measure_supervised(report, workload, device, seconds / 4, compiled=False)


def run_compiled(*, is_dry: bool) -> None:
    """What is compiled, which takes long: rates, then tests."""
    for workload in ("omniglot", "sine"):
        for device in reversed(_devices(is_dry)):
            # Compiling Omniglot's net takes a CPU as long as everything else.
            if not is_dry or workload == "sine":
                seconds = 0.2 if is_dry else 4.0
                measure_supervised(report, workload, device, seconds, compiled=True)
    _pytest("cuda and slow")


def run_navigation(*, is_dry: bool) -> None:
    """2D navigation, trained to its end."""
    _train("navigation", TINY_ROLLOUT if is_dry else (), is_dry=is_dry)


def run_half_cheetah(*, is_dry: bool) -> None:
    """HalfCheetahVel, twenty iterations."""
    settings = TINY_ROLLOUT if is_dry else ("run.meta_iterations=20", "evaluation.every=0")
    _train("half_cheetah_vel", settings, is_dry=is_dry)


def _devices(is_dry: bool) -> tuple[str, ...]:
    return ("cpu",) if is_dry else ("cpu", "cuda")


def _train(preset: str, settings: Sequence[str], *, is_dry: bool) -> None:
    device = _devices(is_dry)[-1]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        config = load_config(preset, [*settings, f"run.device={device}", f"run.dir={run}"])
        try:
            with stop_on_signals(), suppress(Stopped):
                result = start_run(config, preset, Console(width=120))
                curves = {name: curve.mean.tolist() for name, curve in result.curves.items()}
                intervals = {name: curve.interval.tolist() for name, curve in result.curves.items()}
                report(test_return=curves, test_interval=intervals)
        finally:
            lines = (run / "metrics.jsonl").read_text().splitlines()
            metrics = [json.loads(line) for line in lines]
            report(
                device=device,
                meta_iterations=len(metrics),
                seconds_training=metrics[-1]["seconds_total"] if metrics else None,
                validation_return={
                    str(record["meta_iteration"]): record["validation_return"]
                    for record in metrics
                    if "validation_return" in record
                },
                **_peaks(),
            )


def _peaks() -> dict[str, float]:
    peaks = {"peak_memory_gib": host_peak_gib()}
    if torch.cuda.is_available():
        peaks["peak_device_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return peaks


def _pytest(marks: str) -> None:
    options = ("-q", "-p", "no:cacheprovider", "-m", marks, str(ROOT / TESTS))
    status = pytest.main(list(options), plugins=[_Reporter()])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(int(status))


class _Reporter:
    """Prints each test's outcome when it has one."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of the call, or of what ended the test before it."""
        if report.when == "call" or report.outcome != "passed":
            seconds, outcome = round(report.duration, 2), {"outcome": report.outcome}
            if report.outcome == "failed":
                outcome["message"] = report.longreprtext[-2000:]
            elif report.outcome == "skipped":
                outcome["message"] = str(report.longrepr)[-200:]
            test = report.nodeid.rpartition("/")[2]
            _report_test(test, {**outcome, "seconds": seconds})


def _report_test(name: str, outcome: dict[str, Any]) -> None:
    report(tests={name: outcome})


PARTS: dict[str, Callable[..., None]] = {
    "tests": run_tests,
    "speed": run_speed,
    "navigation": run_navigation,
    "half_cheetah": run_half_cheetah,
    "compiled": run_compiled,
}


def main() -> None:
    """Runs one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    report(machine=describe_process())
    PARTS[arguments.part](is_dry=arguments.dry_run)


if __name__ == "__main__":
    main()
