"""Whether this machine has a GPU, whatever TensorFlow sees."""

import os
import shutil
import subprocess
from pathlib import Path

NODE = Path("/dev/nvidia0")  # Linux: the first GPU of NVIDIA's driver
PATIENCE = 20  # seconds for nvidia-smi
INSTALL = "pip install -r requirements-gpu.txt"


def present():
    """Return the name of a GPU that this machine has, whether TensorFlow sees it or not.

    Returns None if there is none, or CUDA_VISIBLE_DEVICES hides all of them.
    """
    # CUDA ignores what follows an invalid number. Slurm writes NoDevFiles for a job without GPUs.
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if first in ("", "NoDevFiles") or first.startswith("-"):
        return None
    program, names = shutil.which("nvidia-smi"), ()
    if program:
        try:
            call = [program, "--query-gpu=name", "--format=csv,noheader"]
            done = subprocess.run(
                call, capture_output=True, text=True, timeout=PATIENCE, check=True, errors="replace"
            )
            names = done.stdout.split("\n")
        except (OSError, subprocess.SubprocessError):
            pass  # the driver does not answer
    found = [name.strip() for name in names if name.strip()]
    return found[0] if found else str(NODE) if NODE.exists() else None
