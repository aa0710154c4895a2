"""The figures of one part of the bench, kept in bench/results with the machine and the day."""

import datetime
import json
import platform
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "bench" / "results"
# Of all processors' time: what others may use without being told of.
QUIET = 0.05


class Record:
    """One part's run: made before it does anything else, saved after the last measurement."""

    def __init__(self, part: str):
        self.part = part
        self.began = time.monotonic()
        self.about = {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": machine(),
            "commit": commit(),
            "load": round(load_of_others(), 2),
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


def load_of_others() -> float:
    """The share of the processors' time that is in use while nothing of the bench runs."""
    before = cpu_times()
    time.sleep(2)
    after = cpu_times()
    passed = [later - earlier for earlier, later in zip(before, after)]
    # proc_stat(5): the fourth and the fifth are idle.
    return 1 - sum(passed[3:5]) / sum(passed)


def cpu_times() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]


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
