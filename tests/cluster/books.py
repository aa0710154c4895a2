"""Who has the address by Heartbeat's books, by EC2 and by status, and whether they agree."""

import time

from cluster import LOST, MINE, NOT_MINE, Cluster
from step import Violation

# The owner's rscstatus, and its peer's, when Heartbeat's books are in order.
HOLDS = {"server1": ("local", "all"), "server2": ("foreign", "all")}
# For a minute after its start a node may not be able to tell that the address went elsewhere; and it
# takes some seconds to say so.
YOUNG = 70


class Books:
    def __init__(self, cluster: Cluster):
        self.cluster = cluster

    def books(self, name: str) -> str:
        """What that node's Heartbeat says it holds."""
        return self.cluster.nodes[name].run("cl_status", "rscstatus", check=False).stdout.strip()

    def holds(self, name: str) -> bool:
        return self.books(name) in HOLDS[name]

    def disorder(self) -> str:
        """What is not as it should be, in Heartbeat's books first because they are cheap to ask."""
        cluster = self.cluster
        books = {}
        for name, node in cluster.nodes.items():
            books[name] = self.books(name)
            seen = node.run("cl_status", "nodestatus", cluster.peer(name), check=False).stdout.strip()
            if seen != "active":
                return f"{name} does not see its peer: {seen or 'its heartbeat does not answer'}"
        holders = [name for name in books if books[name] in HOLDS[name]]
        if len(holders) != 1:
            return f"by Heartbeat's books {' and '.join(holders) or 'nobody'} holds the resources: {books}"
        owner = cluster.owner()
        if owner != holders[0]:
            return f"EC2 names {owner}, Heartbeat {holders[0]}"
        return self.false_status(owner)

    def false_status(self, owner: str) -> str:
        for name, node in self.cluster.nodes.items():
            status = node.status()
            lost = name != owner and status == LOST and self.is_young(name)
            if status != (MINE if name == owner else NOT_MINE) and not lost:
                return f"the address is {owner}'s, and status on {name} says {status}"
        return ""

    def demand_statuses(self, owner: str):
        wrong = self.false_status(owner)
        if wrong or self.cluster.owner() != owner:
            raise Violation(wrong or f"the address went from {owner} to {self.cluster.owner()}")

    def is_young(self, name: str) -> bool:
        """Whether EC2 has acknowledged a start there, not long ago and since it booted."""
        since = max(time.monotonic() - YOUNG, self.cluster.nodes[name].booted_at)
        return any(call.source == self.cluster.public[name] and call.action == "AssociateAddress" and call.status == 200
                   for call in self.cluster.ec2.calls(since))
