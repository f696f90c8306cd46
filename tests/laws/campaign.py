"""Many random programs against JAX: ``python -m tests.laws.campaign --count 100000 --out DIRECTORY``.

The draws are numbered, and each is the same at every run. They run in chunks; what a chunk found is appended to
``DIRECTORY/log.jsonl``, and a campaign that is started again goes on behind the last one there. One chunk in
``--compiled`` runs functrans through XLA, the others through the reference implementations of its primitives.
"""

from __future__ import annotations

import argparse
import collections
import gc
import json
import signal
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax

import functrans
from tests.laws import numpy_reference
from tests.laws.comparison import Difference, difference, reproduction, shrunk
from tests.laws.impolite_programs import draw, source

MAPS = Path("/proc/self/maps")
MOST_MAPS = 40_000  # of 65,530 that Linux allows a process


class _TooLong(BaseException):
    pass


def _too_long(*_: Any) -> None:
    raise _TooLong


def checked(number: int, seconds: int = 60) -> Difference | None:
    """The difference of one draw; a draw that takes too long, or that the comparison itself fails for, is one too."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(seconds)
    try:
        return difference(draw(number))
    except _TooLong:
        return Difference("too long", f"more than {seconds} s")
    except Exception as error:
        name = f"(the comparison fails) {type(error).__name__}: {str(error)[:80]}"
        return Difference(name, "".join(traceback.format_exception(error)))
    finally:
        signal.alarm(0)


def run(first: int, count: int, chunk: int, compiled: int, out: Path) -> None:
    log = out / "log.jsonl"
    done = {json.loads(line)["first"] for line in log.read_text().splitlines()} if log.exists() else set()
    for start in range(first, first + count, chunk):
        if start in done:
            continue
        by_xla = compiled > 0 and (start // chunk) % compiled == compiled - 1
        begin, cpu = time.perf_counter(), time.process_time()
        causes: collections.Counter[str] = collections.Counter()
        examples: dict[str, list[Any]] = {}
        functrans.clear_caches()
        with nullcontext() if by_xla else numpy_reference.interpreted():
            for number in range(start, min(start + chunk, first + count)):
                found = checked(number)
                cause = "agrees" if found is None else found.cause
                causes[cause] += 1
                if found is not None:
                    examples.setdefault(cause, []).append((number, found.details[-1500:]))
        if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:  # each executable takes some
            jax.clear_caches()
            gc.collect()
        seconds = time.perf_counter() - begin
        row = {
            "first": start, "count": sum(causes.values()), "xla": by_xla, "seconds": round(seconds, 1),
            "cpu": round(time.process_time() - cpu, 1), "causes": causes,
            "examples": {c: [e[0] for e in found] for c, found in examples.items()},
            "details": {c: found[0][1] for c, found in examples.items() if not c.startswith("(")},
        }  # fmt: skip
        with log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        faults = sum(n for c, n in causes.items() if c != "agrees" and not c.startswith("("))
        print(f"{start}: {faults} faults, {causes['agrees']} agree, {seconds / chunk * 1e3:.0f} ms each", flush=True)


def report(out: Path) -> None:
    """How often each cause was seen, with the first draws that show it."""
    causes: collections.Counter[str] = collections.Counter()
    examples: dict[str, list[int]] = {}
    xla: collections.Counter[str] = collections.Counter()
    cpu = 0.0
    for line in (out / "log.jsonl").read_text().splitlines():
        row = json.loads(line)
        causes.update(row["causes"])
        cpu += row["cpu"]
        if row["xla"]:
            xla.update(row["causes"])
        for cause, numbers in row["examples"].items():
            examples.setdefault(cause, []).extend(numbers)
    print(f"{sum(causes.values())} draws ({sum(xla.values())} through XLA), {cpu:.0f} s of processor time")
    for cause, number in causes.most_common():
        print(f"{number:7d} {xla[cause]:6d}  {cause}   {examples.get(cause, [])[:4]}")


def show(number: int, by_xla: bool) -> None:
    """One draw: its code, what differs, and a smaller one with the same cause."""
    given = draw(number)
    print(given, source(given), sep="\n")
    with nullcontext() if by_xla else numpy_reference.interpreted():
        found = difference(given)
        print(found and f"{found.cause}\n{found.details}")
        if found is not None:
            small = shrunk(given, found.cause)
            again = difference(small)
            print("-- shrunk to", small, source(small), again and again.details, reproduction(small), sep="\n")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first draw")
    parser.add_argument("--chunk", type=int, default=250)
    parser.add_argument("--compiled", type=int, default=20, help="one chunk in so many goes through XLA; 0: none")
    parser.add_argument("--out", type=Path, default=Path("campaign"))
    parser.add_argument("--show", type=int, help="explain this draw instead")
    parser.add_argument("--xla", action="store_true", help="explain it through XLA")
    parser.add_argument("--report", action="store_true", help="sum up what is in the log")
    options = parser.parse_args(arguments)
    jax.config.update("jax_disable_most_optimizations", True)
    if options.show is not None:
        show(options.show, options.xla)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.report:
        run(options.seed, options.count, options.chunk, options.compiled, options.out)
    report(options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
