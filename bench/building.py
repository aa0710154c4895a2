"""What it takes to build: the release from nothing, and the daily check after a change.

    building.py [daily]     daily: measures the check anew, and keeps what was measured of the rest
"""

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import QUIET, REPOSITORY, Record, load, output
from table import table

CLEAN = REPOSITORY / "target/bench/clean"
CHANGED = REPOSITORY / "src/takeover.rs"
LARGEST = 8
GOAL = 20
ROUNDS = 5


def timed(command: str) -> float:
    began = time.monotonic()
    done = subprocess.run(["bash", "-euc", command], cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}: exit {done.returncode}: {done.stderr}")
    return time.monotonic() - began


def from_nothing() -> dict:
    """The release build in an empty folder, the sources of all crates being there."""
    shutil.rmtree(CLEAN, ignore_errors=True)
    seconds = timed(f"cargo build --quiet --release --locked --timings --target-dir {CLEAN}")
    page = (CLEAN / "cargo-timings/cargo-timing.html").read_text()
    units = json.loads(re.search(r"const UNIT_DATA = (\[.*?\]);\n", page, re.DOTALL)[1])
    shutil.rmtree(CLEAN)
    longest = sorted(units, key=lambda unit: -unit["duration"])[:LARGEST]
    return {"seconds": seconds, "units": len(units), "longest": [[f"{unit['name']}{unit['target']}", unit["duration"]] for unit in longest]}


def cpu() -> float:
    """The seconds of CPU of all that was run and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def daily() -> dict:
    """`make check` after a change that every test has to be linked again for, having been run once: each round, and each part in it."""
    timed("make check")
    rounds, parts = [], {}
    for _ in range(ROUNDS):
        os.utime(CHANGED)
        with tempfile.TemporaryDirectory() as folder:
            times = Path(folder) / "times"
            before = cpu()
            seconds = timed(f"TIMES={times} make check")
            rounds.append({"seconds": seconds, "cpu": cpu() - before})
            for line in times.read_text().splitlines():
                millis, command = line.split("\t")
                parts.setdefault(command, []).append(int(millis) / 1000)
    print(f"make check after touching {CHANGED.relative_to(REPOSITORY)}: {median(rounds, 'seconds'):.1f} s, the median of {ROUNDS}", flush=True)
    return {"rounds": rounds, "parts": [[command, statistics.median(seconds)] for command, seconds in parts.items()]}


def median(rounds: list[dict], of: str) -> float:
    return statistics.median(each[of] for each in rounds)


def twice() -> list[str]:
    lines = output("cargo", "tree", "--locked", "--duplicates", "--edges", "normal", "--depth", "0", "--prefix", "none").splitlines()
    return sorted({line.removesuffix(" (*)") for line in lines if line})


def measure(part: str | None = None):
    record = Record("building")
    kept = load("building") if part == "daily" else None
    check = {"about": record.about.copy(), **daily()}
    if kept is None:
        record.save({"clean": from_nothing(), "daily": check, "twice": twice()})
        return
    about, figures = kept
    record.about, record.began = about, time.monotonic() - about["seconds"]
    record.save({**figures, "daily": check})


def section(figures: dict) -> str:
    clean, rounds, parts = figures["clean"], figures["daily"]["rounds"], figures["daily"]["parts"]
    whole, used = median(rounds, "seconds"), median(rounds, "cpu")
    about = figures["daily"]["about"]
    trial = "" if about["load"] <= QUIET else f" **The machine had other work to do, {about['load']:.0%} of its time before the first round.**"
    least, most = (limit(each["seconds"] for each in rounds) for limit in (min, max))
    return f"""## Building

`cargo build --release` from nothing takes {clean["seconds"]:.0f} s for {clean["units"]} units. The longest, several of which are built at a time:

{table(["", "s"], [[f"`{name}`", f"{seconds:.1f}"] for name, seconds in clean["longest"]])}

The program's own unit is the link-time optimisation over all crates, which leaves out nearly all of rusoto_ec2, OpenSSL, hyper 0.14 and h2.

After a change to one file of `src`, `make check` takes {whole:.1f} s ({least:.1f} to {most:.1f} in {len(rounds)} rounds on {about["date"]}, at
commit {about["commit"]}); {GOAL} s were aimed at.{trial} In that time it
uses {used:.0f} s of CPU, of {os.cpu_count()} processors. The tests wait for servers and deadlines, some dozens of them at a time, and what they compute is
mostly the start of the program, which they call thousands of times. Clippy, the documentation and the scripts take their turn beside the
tests, when these leave a processor free. The parts:

{table(["", "s"], [[f"`{command}`", f"{seconds:.1f}"] for command, seconds in parts])}

Of these crates two versions are built: {", ".join(figures["twice"])}. The older ones of http, hyper, base64 and socket2 are rusoto's, which
gets no new versions; syn is at work in building only; of getrandom, ring has the older one and tokio-retry2's rand the newer.
"""


if __name__ == "__main__":
    measure(*sys.argv[1:])
