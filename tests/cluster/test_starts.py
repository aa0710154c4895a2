"""Heartbeat's own messages do not mix while a node whose peer is dead takes the address."""

import os
import shutil
import subprocess

import pytest

import base
from starts import Starts

MACH_DOWN = "/usr/share/heartbeat/mach_down"
# The scripts that run it, as Heartbeat calls them.
BEFORE_MACH_DOWN = ["/etc/ha.d//harc", "/etc/ha.d/rc.d/status"]
REQ_RESOURCE = "/usr/share/heartbeat/req_resource"
RESOURCE_MANAGER = "/usr/share/heartbeat/ResourceManager"
RESOURCE = "/etc/ha.d/resource.d/elastic-ip"
PATCH = base.REPOSITORY / "docs/ha_clustermsg.patch"
# As await-mach-down has it.
LOOKS = 40
# What stands for Heartbeat's FIFO, and what req_resource sends.
FIFO = "tmp/fifo"
REQUEST = ">>>\nt=ip-request-resp\ndest=server1\nipaddr=elastic-ip\nweown=yes\nok=OK\n<<<\n"


@pytest.fixture
def node(cluster):
    """A node on which no Heartbeat runs, and which counts the pauses of await-mach-down."""
    node = cluster().nodes["server1"]
    node.file("tmp/bin").mkdir()
    node.write("tmp/bin/sleep", "#!/bin/sh\necho >>/tmp/pauses\nexec /usr/bin/sleep \"$@\"\n", 0o755)
    node.write("tmp/pauses", "")
    node.write(FIFO, "")
    return node


def let_mach_down(node, script: str, path: str = MACH_DOWN):
    """Puts another mach_down, or what is to become it, in its place, until the node is booted."""
    node.write("tmp/mach_down", f"#!/bin/sh\n{script}\n", 0o755)
    node.run("mount", "--bind", "/tmp/mach_down", path)


def by_heartbeat(node, commands: str):
    """Runs commands as Heartbeat runs its scripts on the node that is left."""
    node.run("env", "HA_CURHOST=server1", "HA_NICEFAILBACK=yes", f"HA_FIFO=/{FIFO}", "HA_DIR=/etc/ha.d",
             "PATH=/tmp/bin:/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", f"{{ {commands}; }} >/dev/null 2>&1; true")


def pauses(node) -> int:
    return len(node.file("tmp/pauses").read_text())


def is_at_work(node) -> bool:
    return any(MACH_DOWN in command for _, _, command in node.processes())


@pytest.mark.parametrize("path", [MACH_DOWN, *BEFORE_MACH_DOWN])
def test_the_status_for_req_resource_comes_after_mach_downs_message(node, path):
    # It writes as late as it can: when the status is waiting for it.
    let_mach_down(node, path=path, script=f"""
        looks=0
        while [ ! -s /tmp/pauses ] && [ "$looks" -lt 500 ]; do /usr/bin/sleep 0.01; looks=$((looks + 1)); done
        for piece in '>>>' t=resource '<<<'; do echo "$piece" >>/{FIFO}; /usr/bin/sleep 0.1; done""")
    by_heartbeat(node, f"{path} server2 & {REQ_RESOURCE} elastic-ip; wait")
    assert node.file(FIFO).read_text() == f">>>\nt=resource\n<<<\n{REQUEST}"


def test_the_status_for_req_resource_does_not_wait_for_a_mach_down_that_hangs(node):
    let_mach_down(node, "while true; do /usr/bin/sleep 1; done")
    by_heartbeat(node, f"{MACH_DOWN} server2 & {REQ_RESOURCE} elastic-ip")
    assert is_at_work(node)
    assert node.file(FIFO).read_text() == REQUEST
    assert pauses(node) == LOOKS


@pytest.mark.parametrize("asking", [f"{RESOURCE} status", f"{RESOURCE_MANAGER} status elastic-ip",
                                    f"{RESOURCE_MANAGER} takegroup elastic-ip"])
def test_no_other_status_waits_for_mach_down(node, asking):
    let_mach_down(node, "while true; do /usr/bin/sleep 1; done")
    by_heartbeat(node, f"{MACH_DOWN} server2 & {asking}")
    assert is_at_work(node)
    assert pauses(node) == 0


@pytest.mark.parametrize("action", ["status", "start", "stop"])
def test_mach_down_does_not_wait_for_itself(node, action):
    let_mach_down(node, f"{RESOURCE} {action}")
    by_heartbeat(node, f"{MACH_DOWN} server2")
    assert pauses(node) == 0


@pytest.mark.central
def test_a_node_alone_and_a_node_left_alone_take_the_address(machines, record_property):
    starts = Starts(machines)
    starts.cold(4)
    starts.takeovers(4)
    record_property("figure", starts.summary())
    assert not starts.lost(), "\n".join(map(str, starts.attempts))


def shellfuncs(node, patched: bool) -> str:
    """Where Heartbeat's functions are, or a copy of them with the patch that is for Heartbeat's maintainers."""
    if not patched:
        return "/etc/ha.d/shellfuncs"
    shutil.copyfile(PATCH, node.file("tmp/patch"))
    node.run("patch", "--dry-run", "/etc/ha.d/shellfuncs", "/tmp/patch")
    node.run("patch", "--output=/tmp/shellfuncs", "/etc/ha.d/shellfuncs", "/tmp/patch")
    return "/tmp/shellfuncs"


def sent(node, functions: str, commands: str) -> list[str]:
    """What comes out of the FIFO, read by read, when those commands have the functions."""
    node.file(FIFO).unlink()
    os.mkfifo(node.file(FIFO))
    sender = subprocess.Popen(node.command("env", f"HA_FIFO=/{FIFO}", "HA_DIR=/etc/ha.d", "sh", "-c", f". {functions}; {commands}"),
                              stdin=subprocess.DEVNULL, start_new_session=True)
    with open(node.file(FIFO), "rb", buffering=0) as fifo:
        pieces = list(iter(lambda: fifo.read(65536).decode(), ""))
    assert sender.wait(10) == 0
    return pieces


@pytest.mark.parametrize("patched", [False, True])
def test_the_patched_ha_clustermsg_sends_a_message_in_one_write(node, patched):
    # One who reads meanwhile shows where a write ends.
    pieces = sent(node, shellfuncs(node, patched), "exec 9>>$HA_FIFO; (echo t=a; /usr/bin/sleep 0.5; echo b=c) | ha_clustermsg")
    assert "".join(pieces) == ">>>\nt=a\nb=c\n<<<\n"
    assert (len(pieces) == 1) == patched


def test_the_patched_ha_clustermsg_sends_what_the_scripts_say_and_mixes_nothing(node):
    messages = "".join(sent(node, shellfuncs(node, True), r"""
        exec 9>>$HA_FIFO
        for name in a b; do
            for n in $(seq 20); do printf 't=%s\nn=%s\nx=\\ "$n" `\n' "$name" "$n" | ha_clustermsg; done &
        done
        wait"""))
    assert sorted(messages.split("<<<\n")) == sorted(
        ["", *(f'>>>\nt={name}\nn={n}\nx=\\ "$n" `\n' for name in "ab" for n in range(1, 21))])
