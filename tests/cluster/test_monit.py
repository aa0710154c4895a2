"""monit leaves the address alone where it should. That it moves it where it should is in test_pages.py."""

import time

import pytest

import base
from node import Node, wait_until

MONIT = "/usr/bin/monit"
EXAMPLE = (base.REPOSITORY / "etc/monit/monit.conf").read_text()
BROKEN = "etc/nginx/conf.d/broken.conf"


@pytest.fixture
def monitored(cluster):
    """Two machines on which monit watches nginx. server1 has the address."""
    machines = cluster(defaults={"RELEASE_ON_STOP": "no"})
    machines.start()
    for node in machines.nodes.values():
        prepare_service(node)
        node.run("service", "nginx", "start")
        node.write("etc/monit/conf-enabled/elastic-ip", EXAMPLE)
        node.write("var/log/monit.log", "")
        node.start_daemon(MONIT, "-I")
    machines.wait_for_owner("server1")
    machines.wait_for_members()
    machines.assert_held_by("server1")
    return machines


def prepare_service(node: Node):
    """As Debian installs it; but the node's metadata service has port 80 of another address, which
    on a real instance is no matter."""
    node.file(BROKEN).unlink(missing_ok=True)
    node.run("sed", "-i", "-e", "s/listen 80 /listen 127.0.0.1:80 /", "-e", "/listen \\[::\\]:80/d",
             "/etc/nginx/sites-available/default")


def kill_service(node: Node):
    node.run("sh", "-c", "kill -9 -$(cat /run/nginx.pid)")


def answers(node: Node) -> bool:
    return node.run("curl", "-sf", "-o", "/dev/null", "http://127.0.0.1/", check=False).returncode == 0


def monit_says(node: Node, text: str) -> bool:
    return text in node.file("var/log/monit.log").read_text()


def has_given_up(node: Node) -> bool:
    return monit_says(node, "'nginx-for-good' exec: ")


@pytest.mark.central
def test_the_address_stays_where_the_service_comes_back_whatever_becomes_of_the_passive_nodes(monitored):
    machines = monitored
    active, passive = machines.nodes["server1"], machines.nodes["server2"]
    begun = time.monotonic()
    passive.write(BROKEN, "this is no configuration of nginx\n")
    kill_service(passive)
    kill_service(active)
    wait_until(lambda: monit_says(active, "'nginx' start: "), 60, "monit to start the service")
    wait_until(lambda: answers(active), 60, "the service to answer")
    wait_until(lambda: has_given_up(passive), 60, "monit to give up")
    assert not has_given_up(active)
    machines.wait_for_members()
    machines.assert_held_by("server1")
    assert machines.mutations(begun) == []
