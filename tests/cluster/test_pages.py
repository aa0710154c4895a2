"""Each page of docs/ that leads a pair of nodes to a failover is followed to the letter."""

import re
import shutil
import sys
import time

import pytest

import base
from cluster import UNSURE, Cluster, Lateness
from node import Node, wait_until
from test_monit import prepare_service

sys.path.append(str(base.REPOSITORY / "tests/docs"))
from documents import Block, Document, rows  # noqa: E402

pytestmark = pytest.mark.central

PROMPT = re.compile(r"^(server[12]):~# (.*)\n", re.MULTILINE)
# What the bench, or an earlier scenario, has configured, and a fresh pair has not.
CONFIGURED = ("etc/default/elastic-ip", "etc/ha.d/authkeys", "etc/ha.d/ha.cf", "etc/ha.d/haresources",
              "etc/keepalived/keepalived.conf", "etc/monit/conf-enabled/elastic-ip")
# Longer than a node cannot tell whether what EC2 shows is older than its own start.
PATIENCE = 90
PAGE_ADDRESSES = {"server1": "10.0.1.11", "server2": "10.0.2.11"}


def fresh(cluster) -> Cluster:
    """A pair on which nothing is configured."""
    machines = cluster()
    for node in machines.nodes.values():
        for path in CONFIGURED:
            node.file(path).unlink(missing_ok=True)
    return machines


class Reader:
    """Does what a page says, on the two nodes that it names."""

    def __init__(self, machines: Cluster):
        self.machines = machines
        for node in machines.nodes.values():
            shutil.copyfile(machines.package, node.file("root/elastic-ip_0_all.deb"))
            prepare_service(node)

    def follow(self, page: str):
        blocks = Document(page).blocks
        assert {block.on for block in blocks} <= {"", "server1", "server2", "elsewhere"}
        for block in blocks:
            if block.on == "elsewhere":
                assert block.text.startswith("aws ")
            elif block.language == "":
                self.expect(block.text)
            else:
                for name in [block.on] if block.on else self.machines.nodes:
                    self.do(block, self.machines.nodes[name])

    def do(self, block: Block, node: Node):
        text = block.text
        for name, address in PAGE_ADDRESSES.items():
            text = text.replace(address, self.machines.private[name])
        if block.file == "/etc/default/elastic-ip":
            text += f"AWS_ENDPOINT_URL_EC2={self.machines.ec2.endpoint}\nALLOW_PLAIN_HTTP=yes\n"
        if block.file:
            node.write(block.file.lstrip("/"), text)
        elif copied := re.fullmatch(r"scp -p /(\S+) root@(server[12]):/\1\n", text):
            shutil.copy2(node.file(copied[1]), self.machines.nodes[copied[2]].file(copied[1]))
        else:
            # Into a file: what a daemon inherits would keep a pipe open.
            done = node.run("sh", "-euc", f"cd /root; exec >/tmp/said 2>&1\n{text}", timeout=180, check=False)
            assert done.returncode == 0, f"{node.name}:\n{text}\n{node.file('tmp/said').read_text()}"
            # An init script's stop may return while the daemon still ends; systemd's does not.
            for daemon in re.findall(r"^service (\w+) stop$", text, re.MULTILINE):
                wait_until(lambda: not any(program.endswith(f"/{daemon}") for _, program, _ in node.processes()), 60, f"{daemon} to end on {node.name}")

    def expect(self, transcript: str):
        """Each command says in the end what the page shows: a person would ask again, too."""
        _, *parts = PROMPT.split(transcript)
        assert parts
        for name, command, shown in zip(*[iter(parts)] * 3):
            def says(node=self.machines.nodes[name], command=command) -> str:
                return node.run("sh", "-c", command, check=False).stdout
            self.machines.wait_for(lambda: says() == shown, PATIENCE, f"{name} to answer {command}:\n{shown}")
        # A person's next step takes longer than Heartbeat needs to settle.
        if all(node.heartbeat_processes() for node in self.machines.nodes.values()):
            self.machines.wait_for_members()

    def moves(self, since: float) -> list[str]:
        """Who took the address, in turn."""
        return [name for name in self.machines.moves(since) if name]


def test_the_page_on_heartbeat(cluster):
    begun = time.monotonic()
    reader = Reader(fresh(cluster))
    reader.follow("docs/heartbeat.md")
    assert reader.moves(begun) == ["server1", "server2", "server1", "server2", "server1"]


def test_the_page_on_keepalived(cluster):
    cluster.explain(UNSURE)
    begun = time.monotonic()
    reader = Reader(fresh(cluster))
    reader.follow("docs/keepalived.md")
    assert reader.moves(begun) == ["server1", "server2", "server1", "server2", "server1"]


@pytest.mark.parametrize("lateness", [Lateness(), Lateness(4, replicas=True)], ids=str)
def test_the_page_on_monit(cluster, lateness):
    cluster.explain(UNSURE)
    machines = cluster(defaults={"RELEASE_ON_STOP": "no"}, lateness=lateness)
    machines.start()
    machines.wait_for_owner("server1")
    machines.wait_for_members()
    begun = time.monotonic()
    reader = Reader(machines)
    with machines.ec2.sampled() as history:
        reader.follow("docs/monit.md")
    assert cluster.figure_without_owner("standby by monit, takeover by hand", history) == 0
    assert reader.moves(begun) == ["server2", "server1"]
    machines.wait_for_members()
    machines.wait_for_held_by("server1")


def test_the_page_on_migrating_from_the_articles_script(cluster):
    machines = cluster()
    for node in machines.nodes.values():
        node.run("dpkg", "--purge", "elastic-ip")
        node.write("etc/init.d/elastic-ip", "#!/bin/sh\necho elastic-ip remapper: I do not have $ELASTIC_IP\n", 0o755)
        node.file("root/.awssecret").chmod(0o644)
    machines.ec2.associate(machines.instances["server1"])
    begun = time.monotonic()
    Reader(machines).follow("docs/migrating.md")
    assert machines.mutations(begun) == []
    machines.start()
    machines.wait_for_members()
    machines.assert_held_by("server1")
    machines.nodes["server1"].kill_heartbeat()
    machines.wait_for_owner("server2")
    machines.assert_held_by("server2")


def test_the_page_on_migrating_has_every_parameter_of_awseip(cluster):
    agent = cluster().nodes["server1"].file("usr/lib/ocf/resource.d/heartbeat/awseip").read_text()
    parameters = re.findall(r'<parameter name="(\w+)"', agent)
    told = {cells[0].strip("`"): cells[1] for cells in rows(Document("docs/migrating.md").section("From resource-agents' awseip"))
            if re.fullmatch(r"`[a-z_]+`", cells[0])}
    assert len(parameters) >= 6
    newer = {name for name, what in told.items() if what.startswith("In Debian 13. ")}
    assert set(parameters) == (set(told) if base.RELEASE == "trixie" else set(told) - newer)
