"""What needs a process of its own: the time to import, and the memory after many calls.

`python -m benchmarks.process calls functrans 100000` is the child that `memory` starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import Row
from benchmarks.timing import Samples

ROOT = Path(__file__).resolve().parent.parent

IMPORT_PROGRAM = """
import time
start = time.perf_counter_ns()
import jax
between = time.perf_counter_ns()
import {module}
print((between - start) * 1e-9, (time.perf_counter_ns() - between) * 1e-9)
"""


def _python(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # jax's byte code came with its installation; ours is kept too
    command = [sys.executable, *arguments]
    child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    if child.returncode:
        raise RuntimeError(f"{' '.join(arguments[:3])} failed with status {child.returncode}:\n{child.stderr[-2000:]}")
    return child.stdout


def import_time(module: str, repeats: int = 5) -> Iterator[Row]:
    """Seconds that `import functrans` takes after `import jax`, in a fresh process each time."""
    program = IMPORT_PROGRAM.format(module=module)
    _python("-c", program)  # writes the byte code and warms the disk cache
    pairs = [tuple(map(float, _python("-c", program).split())) for _ in range(repeats)]
    on_top, base = (Samples(tuple(pair[index] for pair in pairs)) for index in (1, 0))
    yield Row("import on top of import jax", f"import {module}", "", on_top, None)
    yield Row("import jax itself", "import jax", "", None, base)


def memory(ours: str, calls: int, programs: int) -> Iterator[Row]:
    """Resident memory gained in the second half of many un-jitted calls, and of many distinct programs."""
    for kind, count in (("calls", calls), ("programs", programs)):
        measured = json.loads(_python("-m", "benchmarks.process", kind, ours, str(count)).splitlines()[-1])
        curve = " ".join(f"{value:.0f}" for value in measured)
        growth = measured[-1] - measured[len(measured) // 2]
        case = f"{count:,} un-jitted calls" if kind == "calls" else f"{count:,} distinct programs"
        note = f"MB at each tenth: {curve}"
        yield Row("growth of memory", case, "", Samples((growth,)), None, unit="MB", note=note)


def resident_megabytes() -> float:
    """Resident set size of this process, from the Linux proc file system."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _child(kind: str, side_name: str, count: int) -> None:
    import gc

    from benchmarks.sides import side_named

    side = side_named(side_name)
    np, transforms = side.namespace, side.transforms

    def gradient(value: Any) -> Any:
        return transforms.grad(lambda x: x * np.sin(x) + x)(value)

    def distinct(index: int) -> Any:
        """A gradient whose program no other index below 4096 has: twelve bits choose twelve operations."""

        def f(x: Any) -> Any:
            for bit in range(12):
                x = np.sin(x) if index >> bit & 1 else np.cos(x)
            return x

        return transforms.grad(f)(1.5)

    curve = []
    for index in range(count):
        if index % max(1, count // 10) == 0:
            gc.collect()
            curve.append(resident_megabytes())
        gradient(1.0 + index / count) if kind == "calls" else distinct(index)
    gc.collect()
    curve.append(resident_megabytes())
    print(json.dumps(curve))


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
