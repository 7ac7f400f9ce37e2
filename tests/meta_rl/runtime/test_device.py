"""Products in full precision, whatever is asked for around this program."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import torch
from meta_rl.runtime.device import use_full_precision
from meta_rl.runs.provenance import describe_process
print(describe_process()["float32_matmul_precision"])
use_full_precision()
print(describe_process()["float32_matmul_precision"], torch.backends.cuda.matmul.allow_tf32)
print(torch.backends.cudnn.allow_tf32)
"""


def test_tf32_is_off_and_recorded():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["high", "highest", "False", "False"]
