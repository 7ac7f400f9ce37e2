"""Adaptation on the screen."""

import io
import re

import numpy as np
from rich.console import Console

from meta_rl.reporting.adaptation_tables import print_adaptation_curves
from meta_rl.training.adaptation_curve import AdaptationCurve


def test_any_number_of_adaptation_steps_fits_into_eighty_columns():
    generator = np.random.default_rng(0)
    curves = {
        name: AdaptationCurve(np.zeros((5, 1)), generator.normal(-1000, 300, size=(5, 13, 4)))
        for name in ("untrained", "iteration 1000")
    }
    shown = io.StringIO()
    print_adaptation_curves(Console(file=shown, width=80), curves)
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "untrained" in shown.getvalue()
    assert "iteration 1000" in shown.getvalue()
    for step in range(13):
        (row,) = [line for line in lines if re.match(rf"│ +{step} │", line)]
        for curve in curves.values():
            assert f"{curve.mean[step]:.2f} ±{curve.interval[step]:.2f}" in row
