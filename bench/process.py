"""A process, and what it used."""

import os
import signal
import time
from dataclasses import dataclass

from network import PLACE


@dataclass(frozen=True)
class Used:
    """Seconds."""
    wall: float
    cpu: float


def spawn(command: list[str], environment: dict[str, str]) -> Used:
    said = PLACE / "said"
    files = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
             (os.POSIX_SPAWN_OPEN, 1, str(said), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
             (os.POSIX_SPAWN_DUP2, 1, 2)]
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, environment, file_actions=files, setsigdef=[signal.SIGPIPE])
    _, status, used = os.wait4(child, 0)
    wall = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{' '.join(command)}: exit {os.waitstatus_to_exitcode(status)}: {said.read_text()}")
    return Used(wall, used.ru_utime + used.ru_stime)
