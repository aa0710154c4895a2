"""What follow-keepalived makes of each answer of status, beside a program that gives it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

LIBEXEC = Path(__file__).resolve().parents[2] / "libexec"
FREE, PEERS, MINE, UNKNOWN, HANDED_OVER = "free", "peers", "mine", "unknown", "handed over"
STATES = {FREE: ("not-held", None), PEERS: ("not-held", "i-0bbbbbbbbbbbbbbbb"), MINE: ("held", "i-0aaaaaaaaaaaaaaaa"),
          UNKNOWN: ("unknown", None), HANDED_OVER: ("handed-over", "i-0aaaaaaaaaaaaaaaa")}
LOOK, START, RESTART = "--json status", "start", "start --if-free"
PROGRAM = """#!/bin/sh
echo "$$" >pid
echo "$*" >>calls
[ "$*" != "$(cat lingers)" ] || exec sleep 60
case "$*" in
*status) sed "s/NUMBER/$$/" remarks >&2; echo "$HA_LOGFACILITY" >facility; cat document; exit "$(cat code)" ;;
esac
"""


def changed(script: str, **variables) -> str:
    """That script, with other values at the top."""
    text = (LIBEXEC / script).read_text()
    for name, value in variables.items():
        line = next(line for line in text.splitlines() if line.startswith(f"{name}="))
        text = text.replace(f"\n{line}\n", f"\n{name}={value}\n")
    return text


def document(*states: str) -> tuple[str, str]:
    """What a status of so many addresses says as JSON, and its exit code."""
    told = [{"address": f"203.0.113.{25 + number}", "interface": None, "state": STATES[state][0], "holder": STATES[state][1]}
            for number, state in enumerate(states)]
    words = [state["state"] for state in told]
    word = "unknown" if "unknown" in words else "held" if set(words) == {"held"} else "not-held"
    document = {"state": word, "instance": "i-0aaaaaaaaaaaaaaaa", "addresses": told}
    return json.dumps(document, indent=2, sort_keys=True) + "\n", {"held": "0", "not-held": "3", "unknown": "4"}[word]


class Follower:
    """The script, whose pauses are shorter, in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        script = changed("follow-keepalived", pause="1", settled="1")
        common = changed("follow.bash", program=folder / "program")
        for name, text in {"follow": script, "follow.bash": common, "program": PROGRAM,
                           "logger": '#!/bin/sh\nshift 4\necho "$2" >>said\n'}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        for name in ("calls", "said", "lingers", "remarks"):
            (folder / name).touch()
        self.answer(MINE)
        os.mkfifo(folder / "fifo")
        self.process = subprocess.Popen(["./follow", "elastic-ip", "fifo"], cwd=folder, stderr=subprocess.DEVNULL,
                                        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"})
        self.fifo = open(folder / "fifo", "w", buffering=1)

    def tell(self, state: str):
        self.fifo.write(f'INSTANCE "elastic-ip" {state} 150\n')

    def answer(self, *states: str):
        """Of so many addresses."""
        for name, text in zip(("document", "code"), document(*states)):
            new = self.folder / f"{name}.new"
            new.write_text(text)
            new.rename(self.folder / name)

    def linger(self, call: str):
        (self.folder / "lingers").write_text(call)

    def await_end(self):
        """Of the program that the follower has called last."""
        deadline, process = time.monotonic() + 10, Path(f"/proc/{self.lines('pid')[0]}/stat")
        while process.exists() and process.read_text().split()[2] != "Z":
            assert time.monotonic() < deadline, process
            time.sleep(0.01)

    def lines(self, name: str) -> list[str]:
        return (self.folder / name).read_text().splitlines()

    def await_calls(self, call: str, number: int):
        deadline = time.monotonic() + 30
        while self.lines("calls").count(call) < number:
            assert time.monotonic() < deadline, (call, number, self.lines("calls"))
            time.sleep(0.05)

    def close(self):
        self.fifo.close()
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def follow(tmp_path):
    """`follow()` is one more follower. They run at the same time."""
    followers = []

    def follow() -> Follower:
        folder = tmp_path / str(len(followers))
        folder.mkdir()
        followers.append(Follower(folder))
        return followers[-1]
    yield follow
    for follower in followers:
        follower.close()


def masters(follow, shown: list[tuple[str, ...]]) -> dict[tuple[str, ...], Follower]:
    """A follower for each answer of status, which has become master."""
    followers = {states: follow() for states in shown}
    for states, follower in followers.items():
        follower.answer(*states)
        follower.tell("MASTER")
    return followers


def test_a_look_that_finds_nothing_free_starts_nothing(follow):
    shown = [(MINE,), (PEERS,), (UNKNOWN,), (HANDED_OVER,), (MINE, MINE), (MINE, PEERS), (PEERS, PEERS), (FREE, UNKNOWN), (PEERS, UNKNOWN)]
    for states, follower in masters(follow, shown).items():
        follower.await_calls(LOOK, 3)
        calls = follower.lines("calls")
        assert calls[:2] == [START, START] and set(calls[2:]) == {LOOK}, (states, calls)
        # Each once, however often it is seen.
        assert follower.lines("said") == [
            f"203.0.113.{25 + number}: this node is master, but i-0bbbbbbbbbbbbbbbb has it, and it is left there; "
            "run elastic-ip start to move it here"
            for number, state in enumerate(states) if state == PEERS and UNKNOWN not in states], states


def test_a_look_that_finds_an_address_free_starts_it_from_nobody(follow):
    for states, follower in masters(follow, [(FREE,), (MINE, FREE), (PEERS, FREE), (HANDED_OVER, FREE)]).items():
        follower.await_calls(RESTART, 2)
        calls = follower.lines("calls")
        assert calls[:3] == [START, START, LOOK] and START not in calls[3:], (states, calls)
        assert f"203.0.113.{25 + states.index(FREE)}: this node is master, and nobody has it any more; starting it" in follower.lines("said")


def test_what_each_look_says_alike_is_logged_once(follow):
    follower = follow()
    (follower.folder / "remarks").write_text("elastic-ip: 203.0.113.25: cannot tell who has it: no answer within NUMBER ms\n")
    follower.answer(UNKNOWN)
    follower.tell("MASTER")
    follower.await_calls(LOOK, 4)
    said, = follower.lines("said")
    assert said.startswith("203.0.113.25: cannot tell who has it: no answer within ") and follower.lines("facility") == ["none"]


def test_only_a_master_looks(follow):
    former, master = follow(), follow()
    for follower in (former, master):
        follower.tell("MASTER")
        follower.await_calls(LOOK, 1)
        follower.answer(FREE)
    former.tell("BACKUP")
    # Its look may be at work just now.
    master.await_calls(RESTART, 1)
    calls = former.lines("calls")
    master.await_calls(RESTART, 3)
    assert former.lines("calls") == calls
    # A master again, it starts as if it had never looked.
    former.tell("MASTER")
    former.await_calls(START, 4)
    assert former.lines("calls")[len(calls):] == [START, START]


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL", "end of file", "end of file and SIGTERM"])
@pytest.mark.parametrize("task", [START, LOOK, RESTART])
def test_what_is_at_work_ends_with_its_follower(follow, task, end):
    followers = [follow() for _ in range(20)]
    for follower in followers:
        follower.answer(FREE)
        follower.linger(task)
        follower.tell("MASTER")
    for follower in followers:
        follower.await_calls(task, 1)
        # As keepalived's end does both, and neither is first.
        if "file" in end:
            follower.fifo.close()
        if "SIG" in end:
            follower.process.send_signal(getattr(signal, end.split()[-1]))
    for follower in followers:
        follower.process.wait(10)
        follower.await_end()
