"""What the processor of this machine can compute."""

import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # Linux
# x86: the instructions by which oneDNN multiplies in bfloat16.
BFLOAT16 = {"avx512_bf16", "amx_bf16"}


def has_bfloat16():
    """Return True if the system says that the CPU has instructions for bfloat16."""
    try:
        text = CPUINFO.read_text(errors="replace")
    except OSError:
        return False
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return bool(flags and BFLOAT16 & set(flags[1].split()))
