"""Where a status spends the processor's time: callgrind's count of instructions, by where the authorities come from.

    instructions.py     inside tests/cluster/sandbox
"""

import contextlib
import shutil
import statistics
import subprocess
from pathlib import Path

from network import AUTHORITIES, FAR, ME, PLACE, Network
from process import spawn
from record import Record
from subjects import OURS, Callers
from table import table

RUNS = 21
PLAIN, ONE, FILE, SEARCH = "plain HTTP", "HTTPS, one authority in AWS_CA_BUNDLE", "HTTPS, the system's one file", "HTTPS, a search of the system"


def count(command: list[str], environment: dict[str, str]) -> int:
    kept = PLACE / "callgrind"
    subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={kept}", *command], env=environment, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return next(int(line.split()[1]) for line in kept.read_text().splitlines() if line.startswith("summary:"))


def measure():
    record = Record("instructions")
    with contextlib.ExitStack() as closing:
        network = Network(closing)
        network.stretch(0)
        network.ec2.be(ME)
        plain, secure = Callers(f"http://{FAR}", Path()), Callers(f"https://{FAR}", Path())
        searching = PLACE / "searching"
        shutil.copytree(secure.root, searching)
        (searching / AUTHORITIES).unlink()
        shutil.copy(PLACE / "authority.pem", secure.root / "authority.pem")
        command, environment = secure.call(OURS, "status")
        called = {
            PLAIN: plain.call(OURS, "status"),
            ONE: (command, environment | {"AWS_CA_BUNDLE": "/authority.pem"}),
            FILE: (command, environment),
            SEARCH: ([str(searching) if word == str(secure.root) else word for word in command], environment),
        }
        figures = {}
        for way, call in called.items():
            figures[way] = {"instructions": count(*call), "cpu": statistics.median(spawn(*call).cpu for _ in range(RUNS))}
    record.save(figures)


def section(figures: dict) -> str:
    rows = [[way, f"{told['instructions'] / 1e6:.1f}", f"{told['cpu'] * 1000:.1f}"] for way, told in figures.items()]
    one, file, search = (figures[way] for way in (ONE, FILE, SEARCH))
    return f"""## Where a status spends its time

Instructions as callgrind counts them, and the processor's time, median of {RUNS}:

{table(["", "million instructions", "CPU, ms"], rows)}

The authorities are the largest part of a call over HTTPS. The program reads them from the one file in which Debian's ca-certificates
keeps all, an operator's own among them (`update-ca-certificates`); only where there is none, the system is searched, as rustls does by
itself, which costs {(search["cpu"] - file["cpu"]) * 1000:.1f} ms more. Authorities built into the program would save {(file["cpu"] - one["cpu"]) * 1000:.1f} ms at the most, and would know
neither a private authority nor that of a proxy that looks into TLS: an operator would have to name them in `AWS_CA_BUNDLE`, on the
night when the address does not move.
So the system's are read.

`tests/package/test_cost.py` fails if the count over plain HTTP changes by more than 5 %.
"""


if __name__ == "__main__":
    measure()
