"""The figures of one part of the bench, kept in bench/results with the machine and the day."""

import datetime
import json
import os
import platform
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "bench" / "results"
# More than this, and something else ran as well.
QUIET = 0.5


class Record:
    """One part's run: made before the first measurement, saved after the last."""

    def __init__(self, part: str):
        self.part = part
        self.began = time.monotonic()
        self.about = {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": machine(),
            "commit": commit(),
            "load": round(os.getloadavg()[0], 2),
        }

    def save(self, figures: dict):
        """`figures` is anything that JSON can hold; `section` and `plot` of the part get it back."""
        self.about["seconds"] = round(time.monotonic() - self.began)
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps({"about": self.about, "figures": figures}, indent=1, ensure_ascii=False) + "\n"
        (RESULTS / f"{self.part}.json").write_text(text)


def load(part: str) -> tuple[dict, dict] | None:
    """What was recorded about the run, and its figures; None before the first run."""
    path = RESULTS / f"{part}.json"
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    return kept["about"], kept["figures"]


def commit() -> str:
    """The commit, and whether more has been changed since than what the bench itself writes."""
    git = ("git", "-C", str(REPOSITORY))
    changed = output(*git, "status", "--porcelain", "--", ".", ":!bench/results", ":!docs", ":!README.md")
    return output(*git, "rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def machine() -> str:
    cpus = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    release = platform.freedesktop_os_release()
    return f"{len(cpus)} × {cpus[0]}, {memory / 2**20:.0f} GiB, Linux {platform.release()}, {release['PRETTY_NAME']}"


def output(*command: str) -> str:
    return subprocess.check_output(command, text=True).strip()
