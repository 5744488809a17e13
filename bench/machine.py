"""The machine that a result was measured on, in words that name no host."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def machine(nginx: str) -> dict[str, str]:
    """What a reader needs to judge the figures."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": f"{cpu[1].strip() if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{int(memory[1]) / 1e6:.0f} GB" if memory else "unknown",
        "kernel": f"Linux {platform.release()}",
        "python": f"CPython {platform.python_version()}",
        "nginx": nginx,
        "load before": f"{os.getloadavg()[0]:.2f} (1 minute)",
    }
