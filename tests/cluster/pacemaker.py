"""Pacemaker and corosync on the two nodes, set up by docs/pacemaker.md: its blocks, one after the other."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

import base
from cluster import Cluster
from node import wait_until

PAGE = base.REPOSITORY / "docs/pacemaker.md"
FENCE = re.compile(r"^```(\w*)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RESOURCE = "elastic-ip"
# What an agent's action exits with.
FAILED, NOT_INSTALLED, NOT_RUNNING, DEGRADED = 1, 5, 7, 190
# The first line of a block that does with crmsh what the one before it does with pcs.
IN_CRMSH = "# on server1, with crmsh"
# systemd does not run in a node. This does what the page asks of it, by the units' own words.
SYSTEMCTL = r"""#!/bin/sh
set -eu
action=$1
shift
program() {
    pidof "$1" || pidof "$1d"
}
stop() {
    for unit in pacemaker corosync; do
        case " $* " in *" $unit "*) ;; *) continue ;; esac
        main=$(program "$unit") || continue
        kill -TERM "$main"
        while kill -0 "$main" 2>/dev/null; do sleep 0.1; done
    done
}
start() {
    for unit in corosync pacemaker; do
        case " $* " in *" $unit "*) ;; *) continue ;; esac
        command=$(sed -n 's/^ExecStart=//p' "/lib/systemd/system/$unit.service" | sed 's/ \$.*//')
        # A command and its words.
        setsid $command </dev/null >>/var/log/daemons 2>&1 &
        # What Type=notify waits for.
        [ "$unit" = pacemaker ] || until corosync-cmapctl totem.cluster_name >/dev/null 2>&1; do sleep 0.1; done
    done
}
case $action in
    enable) for unit; do test -f "/lib/systemd/system/$unit.service"; done ;;
    start) start "$@" ;;
    stop) stop "$@" ;;
    restart) stop "$@"; start "$@" ;;
    *) echo "systemctl $action is not played here" >&2; exit 1 ;;
esac
"""


def in_words_of(shell: str, blocks: list[tuple]) -> list[tuple]:
    """The page's blocks without those for the other shell."""
    beside = [text.startswith(IN_CRMSH) for *_, text in blocks]
    assert any(beside)
    others = {"pcs": beside, "crm": [*beside[1:], False]}[shell]
    return [block for block, other in zip(blocks, others) if not other]


@dataclass(frozen=True)
class Failure:
    """An action that failed: on which node, with which code, and why."""
    task: str
    node: str
    code: int
    reason: str


class Pacemaker:
    """The cluster that the page makes. `changes` replace words of the page, to have it in less time."""

    def __init__(self, machines: Cluster, changes: dict[str, str] | None = None):
        self.machines = machines
        self.nodes = machines.nodes
        self.changes = changes or {}
        addresses = {"10.0.1.11": machines.private["server1"], "10.0.2.11": machines.private["server2"]}
        self.words = addresses | self.changes
        for node in self.nodes.values():
            node.write("usr/local/sbin/systemctl", SYSTEMCTL, 0o755)
            # The disk outlives a boot: what the last scenario left goes.
            node.run("find", "/var/lib/pacemaker", "/var/lib/corosync", "/var/log/daemons",
                     "-type", "f", "-delete", check=False)

    # The page

    def follow(self, until: str = "", shell: str = "pcs"):
        """Does what the page says, from its first block to its last, or to the heading `until`, in the words of that shell."""
        page = PAGE.read_text()
        assert [word for word in (*self.words, until) if word not in page] == []
        page = page.partition(f"\n## {until}\n")[0] if until else page
        for language, file, text in in_words_of(shell, FENCE.findall(page)):
            for word, other in self.words.items():
                text = text.replace(word, other)
            if file:
                for node in self.nodes.values():
                    node.write(file.lstrip("/"), text)
            else:
                assert language == "sh", "a block that nobody runs"
                self.type(text)

    def type(self, block: str):
        """Runs a block's commands on the nodes that its first line names."""
        where, _, commands = block.partition("\n")
        names = {"# on both nodes": list(self.nodes), "# on server1": ["server1"], IN_CRMSH: ["server1"]}[where]
        for command in commands.replace("\\\n", " ").splitlines():
            command = command.replace("sudo ", "")
            for name in names:
                if command.startswith("scp "):
                    self.copy(name, command)
                else:
                    self.nodes[name].run("sh", "-euc", command, timeout=120)
            if command.startswith("systemctl restart "):
                self.wait_for_members()
            elif command.startswith(("pcs ", "crm ")):
                self.wait_for_rest()

    def copy(self, name: str, command: str):
        """scp between the nodes, which have no sshd."""
        source, peer, target = re.fullmatch(r"scp -p (/\S+) root@(\w+):(/\S+)", command).groups()
        file = self.nodes[name].file(source.lstrip("/"))
        copy = self.nodes[peer].file(target.lstrip("/"))
        copy.write_bytes(file.read_bytes())
        copy.chmod(file.stat().st_mode & 0o777)

    def start(self, name: str):
        """As a boot does it."""
        self.nodes[name].run("systemctl", "start", "corosync", "pacemaker")

    # What is so

    def up(self):
        return [node for node in self.nodes.values() if node.is_up()]

    def ask(self, *command: str) -> str:
        """What the first node that is up prints; empty while its Pacemaker is not ready."""
        done = self.up()[0].run(*command, check=False)
        return done.stdout if done.returncode == 0 else ""

    def wait_for_members(self):
        online = f"Online: [ {' '.join(node.name for node in self.up())} ]"
        wait_until(lambda: online in self.ask("crm_mon", "--one-shot"), 90, online, step=0.5)

    def wait_for_rest(self):
        """Pacemaker has nothing to do any more."""
        self.up()[0].run("crm_resource", "--wait", "--timeout=90s", timeout=100)

    def located(self) -> dict[str, str]:
        """What each node's Pacemaker says of where the resource runs."""
        return {node.name: " ".join(re.findall(r"is running on: (\S+)", node.run("crm_resource", "--locate", "--resource", RESOURCE,
                                                                               check=False).stdout))
                for node in self.up()}

    def failures(self) -> list[Failure]:
        """What crm_mon shows of actions that failed. The codes are the agent's; Pacemaker's words for them differ between releases."""
        told = self.ask("crm_mon", "--one-shot", "--output-as=xml", "--include=none,failures")
        return [Failure(failure.get("task"), failure.get("node"), int(failure.get("exitcode")), failure.get("exitreason"))
                for failure in ElementTree.fromstring(told or "<empty/>").iter("failure")]

    def wait_for_failure(self, task: str, code: int, seconds: float = 60, node: str = ""):
        """On that node, or on any."""
        wait_until(lambda: any((failure.task, failure.code) == (task, code) and node in ("", failure.node) for failure in self.failures()),
                   seconds, f"a {task} to exit {code}")
