"""What follow-heartbeat makes of Heartbeat's books and of each answer of status, beside programs that give them."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from test_follow_keepalived import FREE, HANDED_OVER, LOOK, MINE, PEERS, RESTART, START, UNKNOWN, changed, document

DECISIONS = Path(__file__).resolve().parents[1] / "it/guard_decisions.tsv"
STATES = {"held": MINE, "not-held, nobody has it": FREE, "not-held, a peer has it": PEERS, "handed-over": HANDED_OVER, "unknown": UNKNOWN}
SELF, PEER = os.uname().nodename.lower(), "peer"
# So many looks the books must have said the same, and so many they are in transition for long. From one to the next it is 0.2 s.
STEADY, STUCK, STUCK_FOR_LONG = 2, 3, 5
PROGRAM = """#!/bin/sh
echo "$*" >>calls
[ "$*" != "$(cat lingers)" ] || exec sleep 60
case "$*" in
*status) sed "s/NUMBER/$$/" remarks >&2; echo "$HA_LOGFACILITY" >facility; cat document; exit "$(cat code)" ;;
*) exit "$(cat start_code)" ;;
esac
"""
CL_STATUS = """#!/bin/sh
case "$*" in
rscstatus) echo >>looks; cat books ;;
'listnodes -n') cat nodes ;;
nodestatus*) cat "node-$2" ;;
esac
"""


class Guard:
    """The follower of one resource, whose pauses are shorter, in a folder and among processes of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.files = folder / "guard"
        self.files.mkdir()
        script = changed("follow-heartbeat", pause="1", stuck_for_long=str(STUCK_FOR_LONG), files=self.files)
        for old, new in {"/etc/ha.d/haresources": str(folder / "haresources"), "sleep 1\n": "sleep 0.2\n"}.items():
            assert old in script
            script = script.replace(old, new)
        for name, text in {"follow": script, "follow.bash": changed("follow.bash", program=folder / "program"), "program": PROGRAM,
                           "cl_status": CL_STATUS, "logger": '#!/bin/sh\nshift 4\necho "$2" >>said\n'}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        for name in ("calls", "said", "lingers", "remarks", "looks"):
            (folder / name).touch()
        self.set("start_code", "0")
        self.set("books", "local")
        self.set("nodes", f"{SELF}\n{PEER}")
        self.peer_is("active")
        self.heartbeat_calls("start")
        self.answer(MINE)
        self.process = None

    def begin(self, *words: str):
        self.process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "./follow", *(words or ("elastic-ip", SELF))],
            cwd=self.folder, env=os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}"}, stderr=subprocess.PIPE, text=True)

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate(timeout=10)

    def set(self, name: str, text: str):
        new = self.folder / f"{name}.new"
        new.write_text(text + "\n")
        new.rename(self.folder / name)

    def answer(self, *states: str):
        text, code = document(*states)
        self.set("document", text)
        self.set("code", code)

    def peer_is(self, state: str):
        self.set(f"node-{PEER}", state)

    def heartbeat_calls(self, action: str):
        """As heartbeat-call leaves word of it."""
        (self.files / "elastic-ip.call").write_text(f"{time.monotonic_ns()} {action}\n")
        (self.files / "elastic-ip.had").unlink(missing_ok=True)

    def has_had(self) -> bool:
        return (self.files / "elastic-ip.had").exists()

    def lines(self, name: str) -> list[str]:
        return (self.folder / name).read_text().splitlines()

    def changes(self) -> list[str]:
        return [call for call in self.lines("calls") if call != LOOK]

    def await_(self, condition, what: str):
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, f"waited for {what}: {self.lines('calls')}, {self.lines('said')}"
            time.sleep(0.02)

    def await_looks(self, number: int):
        """So many more looks at the books, from their beginning to their end."""
        before = len(self.lines("looks"))
        self.await_(lambda: len(self.lines("looks")) > before + number, f"{number} looks")

    def await_calls(self, call: str, number: int = 1):
        self.await_(lambda: self.lines("calls").count(call) >= number, call)


@pytest.fixture
def guard(tmp_path):
    guard = Guard(tmp_path)
    yield guard
    guard.end()


@pytest.mark.parametrize("row", DECISIONS.read_text().splitlines()[3:])
def test_each_answer_of_status_is_met_as_the_table_says(guard, row):
    status, had, does = row.split("\t")
    guard.answer(STATES[status])
    if had == "yes":
        (guard.files / "elastic-ip.had").touch()
    guard.begin()
    guard.await_calls(LOOK)
    if does.startswith("start"):
        guard.await_calls(does)
    else:
        guard.await_looks(2)
    assert set(guard.changes()) == ({does} if does.startswith("start") else set())
    if does in ("remembers", "start"):
        guard.await_(guard.has_had, "word that it has been had")
    else:
        assert guard.has_had() == (had == "yes")


@pytest.mark.parametrize("books", ["foreign", "none", ""], ids=["foreign", "none", "no answer"])
def test_nothing_is_looked_at_while_the_resources_are_not_this_nodes(guard, books):
    guard.set("books", books)
    guard.answer(FREE)
    guard.begin()
    guard.await_looks(STUCK_FOR_LONG + 1)
    assert guard.lines("calls") == []


@pytest.mark.parametrize("books", ["local", "all"])
def test_a_group_is_this_nodes_by_the_name_in_haresources(guard, books):
    guard.set("books", books)
    guard.begin("elastic-ip", PEER)
    guard.await_looks(STEADY + 2)
    assert bool(guard.lines("calls")) == (books == "all")


def test_books_that_change_from_look_to_look_are_not_gone_by(guard):
    (guard.folder / "cl_status").write_text('#!/bin/sh\necho >>looks\n[ $(($(wc -l <looks) % 2)) -eq 0 ] || echo local\n')
    guard.answer(FREE)
    guard.begin()
    guard.await_looks(8)
    assert guard.lines("calls") == []


def test_a_start_that_fails_is_made_again_until_it_works(guard):
    guard.answer(PEERS)
    guard.set("start_code", "1")
    guard.begin()
    guard.await_calls(START, 2)
    assert not guard.has_had()
    guard.set("start_code", "0")
    guard.await_(guard.has_had, "word that it has been had")
    guard.await_looks(3)
    assert set(guard.changes()) == {START}
    assert guard.lines("said")[-1].endswith("i-0bbbbbbbbbbbbbbbb has it, and it is left there; run elastic-ip start to move it here")


def test_what_each_look_says_alike_is_logged_once_and_its_end_as_well(guard):
    remarks = "elastic-ip: 203.0.113.25: cannot tell who has it: no answer within NUMBER ms; check the region\n"
    (guard.folder / "remarks").write_text(remarks)
    guard.answer(UNKNOWN)
    guard.begin()
    guard.await_calls(LOOK, 4)
    said, = guard.lines("said")
    assert re.fullmatch(r"203.0.113.25: cannot tell who has it: no answer within \d+ ms; check the region", said)
    # Nothing goes there past this.
    assert guard.lines("facility") == ["none"]
    (guard.folder / "remarks").write_text(remarks.replace("no answer within NUMBER ms", "access denied"))
    guard.await_(lambda: len(guard.lines("said")) == 2, "another line")
    (guard.folder / "remarks").write_text("")
    guard.answer(MINE)
    guard.await_(lambda: len(guard.lines("said")) == 3, "the end of it")
    guard.await_looks(2)
    assert guard.lines("said")[1:] == ["203.0.113.25: cannot tell who has it: access denied; check the region",
                                       "what was said last does not hold any more"]


def test_a_call_of_heartbeats_ends_a_start_and_is_waited_for_anew(guard):
    guard.answer(FREE)
    guard.set("lingers", START)
    guard.begin()
    guard.await_calls(START)
    guard.heartbeat_calls("start")
    guard.set("books", "none")
    guard.await_looks(2)
    locked = guard.files / "elastic-ip.lock"
    guard.await_(lambda: subprocess.run(["flock", "-n", locked, "true"]).returncode == 0, "the start to end")
    assert guard.changes() == [START]


def test_a_transition_with_no_other_node_alive_ends_with_a_start(guard):
    guard.set("books", "transition")
    guard.peer_is("dead")
    guard.answer(PEERS)
    guard.begin()
    guard.await_calls(START)
    assert "every other node is dead, and has not started it; starting it" in guard.lines("said")[0]


def test_a_transition_with_a_live_peer_takes_the_address_from_nobody(guard):
    guard.set("books", "transition")
    guard.answer(PEERS)
    guard.begin()
    guard.await_calls(LOOK)
    guard.await_looks(1)
    assert len(guard.lines("looks")) >= STUCK_FOR_LONG
    assert guard.changes() == []
    said = guard.lines("said")
    assert len(said) == 2 and "i-0bbbbbbbbbbbbbbbb has it, and it is left there" in said[0]
    assert said[1].startswith("Heartbeat has been in transition for ") and said[1].endswith("run service heartbeat restart on this node")
    guard.answer(FREE)
    guard.await_calls(RESTART)
    assert set(guard.changes()) == {RESTART}


def test_a_transition_in_which_heartbeats_scripts_run_goes_on(guard):
    guard.set("books", "transition")
    guard.peer_is("dead")
    guard.answer(FREE)
    guard.begin()
    guard.await_looks(1)
    inside, = Path(f"/proc/{guard.process.pid}/task/{guard.process.pid}/children").read_text().split()
    at_work = subprocess.Popen(["nsenter", f"--target={inside}", "--pid", "bash", "-c", "exec -a /etc/ha.d/resource.d/x sleep 60"])
    guard.await_looks(STUCK_FOR_LONG + 2)
    assert guard.lines("calls") == []
    subprocess.run(["nsenter", f"--target={inside}", "--pid", "--mount", "pkill", "-f", "/etc/ha.d/resource.d/x"], check=True)
    at_work.wait(10)
    guard.await_calls(START)


@pytest.mark.parametrize("text", ["", "# server1 elastic-ip\n", "server1 apache\n", "server1 elastic-ips\n"])
def test_where_haresources_names_no_address_there_is_nothing_to_follow(guard, text):
    (guard.folder / "haresources").write_text(text)
    done = subprocess.run(["./follow"], cwd=guard.folder, env=os.environ | {"PATH": f"{guard.folder}:{os.environ['PATH']}"},
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 100
    assert "names no elastic-ip, so that there is nothing to follow; name it, and restart heartbeat" in done.stderr


def test_each_resource_of_haresources_is_followed_under_its_own_name(guard):
    (guard.folder / "haresources").write_text(
        f"{SELF} \\\n  elastic-ip::203.0.113.25::203.0.113.26 apache\n{PEER} elastic-ip # elastic-ip::203.0.113.27\n")
    guard.set("books", "all")
    process = subprocess.Popen(["./follow"], cwd=guard.folder, stderr=subprocess.DEVNULL,
                               env=os.environ | {"PATH": f"{guard.folder}:{os.environ['PATH']}"})
    try:
        for call in ("203.0.113.25 203.0.113.26 --json status", LOOK):
            guard.await_calls(call)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    assert set(guard.lines("calls")) == {"203.0.113.25 203.0.113.26 --json status", LOOK}
