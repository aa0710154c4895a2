"""What it takes to build: the release from nothing, and the daily check after a change.

    building.py
"""

import json
import os
import re
import shutil
import subprocess
import time

from calls import table
from record import REPOSITORY, Record, output

CLEAN = REPOSITORY / "target/bench/clean"
CHANGED = REPOSITORY / "src/takeover.rs"
LARGEST = 8
GOAL = 20


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


def daily() -> list[list]:
    """Each command of `make check`, once warm and then after a change that every test has to be linked again for."""
    commands = output("make", "--no-print-directory", "--dry-run", "check").splitlines()
    for command in commands:
        timed(command)
    os.utime(CHANGED)
    return [[command, timed(command)] for command in commands]


def twice() -> list[str]:
    lines = output("cargo", "tree", "--locked", "--duplicates", "--edges", "normal", "--depth", "0", "--prefix", "none").splitlines()
    return sorted({line.removesuffix(" (*)") for line in lines if line})


def measure():
    record = Record("building")
    record.save({"clean": from_nothing(), "daily": daily(), "twice": twice()})


def section(figures: dict) -> str:
    clean, steps = figures["clean"], figures["daily"]
    whole = sum(seconds for _, seconds in steps)
    slowest = max(steps, key=lambda step: step[1])
    return f"""## Building

`cargo build --release` from nothing takes {clean["seconds"]:.0f} s for {clean["units"]} units. The longest, several of which are built at a time:

{table(["", "s"], [[f"`{name}`", f"{seconds:.1f}"] for name, seconds in clean["longest"]])}

The program's own unit is the link-time optimisation over all crates, which leaves out nearly all of rusoto_ec2, OpenSSL, hyper 0.14 and h2.

After a change to one file of `src`, `make check` takes {whole:.0f} s; {GOAL} s were aimed at{"" if whole <= GOAL else f", and `{slowest[0]}` alone takes {slowest[1]:.0f} s, in which tests wait for servers and deadlines"}:

{table(["", "s"], [[f"`{command}`", f"{seconds:.1f}"] for command, seconds in steps])}

Of these crates two versions are built: {", ".join(figures["twice"])}. The older ones of http, hyper, base64 and socket2 are rusoto's, which
gets no new versions; syn is at work in building only; of getrandom, ring has the older one and tokio-retry2's rand the newer.
"""


if __name__ == "__main__":
    measure()
