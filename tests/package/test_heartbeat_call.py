"""What heartbeat-call does about a start of the guard's, beside a program that says what it was asked."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from test_follow_keepalived import changed

PROGRAM = """#!/bin/sh
echo "$*" >>calls
[ ! -e lingers ] || exec sleep 60
exit "$(cat code)"
"""
# Holds the lock as a start of the guard's does, and says that it does. In the file it names itself, or another.
GUARDS_START = """
import fcntl, os, signal, sys, time
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
handle = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(handle, 9)
fcntl.flock(9, fcntl.LOCK_EX)
open(sys.argv[1], "w").write((sys.argv[2] or str(os.getpid())) + "\\n")
print("locked", flush=True)
time.sleep(60)
"""


class Node:
    def __init__(self, folder: Path):
        self.folder = folder
        self.guard = folder / "guard"
        self.guard.mkdir()
        script = changed("heartbeat-call", program=folder / "program", folder=self.guard)
        for name, text in {"call": script, "program": PROGRAM, "code": "0", "calls": ""}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def call(self, *words: str, code: int = 0) -> float:
        """Returns how many seconds it took."""
        begun = time.monotonic()
        done = subprocess.run(["./call", *words], cwd=self.folder, timeout=30)
        assert done.returncode == code
        return time.monotonic() - begun

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def files(self) -> set[str]:
        return {path.name for path in self.guard.iterdir()}

    def start_of_guards(self, resource: str = "elastic-ip", named: str = "", kind: str = "plain") -> subprocess.Popen:
        start = subprocess.Popen([sys.executable, "-c", GUARDS_START, self.guard / f"{resource}.lock", named, kind],
                                 stdout=subprocess.PIPE, text=True)
        assert start.stdout.readline() == "locked\n"
        return start


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_it_runs_the_program_and_leaves_word_of_the_call_and_of_a_start_that_has_worked(node):
    node.call("203.0.113.25", "@eth1", "start")
    name = "elastic-ip::203.0.113.25::@eth1"
    assert node.calls() == ["203.0.113.25 @eth1 start"]
    assert node.files() == {f"{name}.call", f"{name}.lock", f"{name}.had"}
    assert (node.guard / f"{name}.call").read_text().split()[1] == "start"
    node.call("203.0.113.25", "@eth1", "stop")
    assert node.files() == {f"{name}.call", f"{name}.lock"}


def test_a_start_that_fails_is_not_taken_for_one_that_has_worked(node):
    node.call("start")
    (node.folder / "code").write_text("6")
    for action in ["start", "stop"]:
        node.call(action, code=6)
        assert node.files() == {"elastic-ip.call", "elastic-ip.lock"}


@pytest.mark.parametrize("action", ["start", "stop"])
def test_a_start_of_the_guards_has_ended_before_the_program_runs(node, action):
    start = node.start_of_guards()
    assert node.call(action) < 2
    assert start.poll() == -signal.SIGTERM
    assert node.calls() == [action]


def test_a_start_of_the_guards_that_does_not_end_is_killed_after_some_seconds(node):
    start = node.start_of_guards(kind="deaf")
    assert 2.5 < node.call("stop") < 10
    assert start.wait(5) == -signal.SIGKILL


def test_a_process_that_only_has_the_number_of_a_start_of_long_ago_is_left_alone(node):
    stranger = subprocess.Popen(["sleep", "60"])
    start = node.start_of_guards(named=str(stranger.pid))
    # It goes on in the end, for a stop that waits keeps the peer from the address.
    assert node.call("stop") < 15
    assert stranger.poll() is None and start.poll() is None
    for process in (stranger, start):
        process.kill()
        process.wait()


def test_no_start_of_the_guards_begins_while_the_program_runs(node):
    (node.folder / "lingers").touch()
    for action in ["start", "stop"]:
        call = subprocess.Popen(["./call", action], cwd=node.folder)
        deadline = time.monotonic() + 10
        while action not in node.calls():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with open(node.guard / "elastic-ip.lock") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whatever ends Heartbeat's call ends the program, and frees the lock.
        call.kill()
        call.wait()
        with open(node.guard / "elastic-ip.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.mark.parametrize("spoil", [
    lambda node: node.guard.rmdir(),
    lambda node: (node.guard / "elastic-ip.lock").mkdir(),
    lambda node: (node.guard / "elastic-ip.had").mkdir(),
], ids=["no folder", "no lock", "no word of it"])
def test_where_nothing_can_be_written_the_program_runs_all_the_same(node, spoil):
    spoil(node)
    node.call("start")
    node.call("stop")
    assert node.calls() == ["start", "stop"]


def test_the_addresses_of_a_resource_may_be_anything(node):
    for address in ["../../x", "a b", "*", "-n", ""]:
        node.call(address, "start")
    assert node.calls() == ["../../x start", "a b start", "* start", "-n start", " start"]
    assert not (node.folder.parent / "x.call").exists()
