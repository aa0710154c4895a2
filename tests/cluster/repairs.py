"""Gets Heartbeat out of where it would stay for ever by its own fault, as an administrator would."""

import time

from books import Books
from cluster import MINE, UNKNOWN
from node import Node
from step import Step, Violation
from symptoms import (DEAF, ENDLESS_STANDBY, FAILED_TAKEN_FOR_DONE, GARBLED_MESSAGE, GIVEN_UP, HELD_BY_BOTH, STOP_ASKED_FOR, said)

# How long it gets to go on by itself.
HANGS_AFTER = 15


class Repairs(Books):
    # The step that is on.
    now: Step

    def wait_for(self, condition, seconds: float, what: str):
        """Waits, and gets Heartbeat out of where it would stay for ever by its own fault."""
        begun = time.monotonic()

        def so() -> bool:
            nonlocal begun
            if condition():
                return True
            if time.monotonic() - begun > HANGS_AFTER:
                begun = time.monotonic()
                self.mend_deaf()
                self.mend_held_by_both()
                self.mend_failed_start()
                self.mend_standby()
                self.stop_where_asked_for()
            return False
        self.cluster.wait_for(so, seconds, what)

    def mend(self, node: Node, what: str, line: str):
        """Starts a Heartbeat again that has done this wrong, as an administrator would."""
        self.now.mended.append(what)
        self.now.notes.append(f"{what}: started again on {node.name}, after {line[16:150]!r}")
        if what in (HELD_BY_BOTH, FAILED_TAKEN_FOR_DONE):
            node.stop_heartbeat()
        else:
            node.kill_heartbeat()
        node.start_heartbeat()

    def mend_deaf(self):
        for node in self.cluster.nodes.values():
            line = said(node.log()[node.started_at:], *DEAF)
            if line and node.heartbeat_processes():
                self.mend(node, GARBLED_MESSAGE, line)

    def mend_held_by_both(self):
        cluster = self.cluster
        lines = [said(node.log(), "Both machines own our resources!") for node in cluster.nodes.values()]
        if any(lines) and all(self.holds(name) for name in cluster.nodes):
            # EC2 knows one owner all the same, and so does status.
            owner = cluster.owner()
            self.demand_statuses(owner)
            self.mend(cluster.nodes[cluster.peer(owner)], HELD_BY_BOTH, next(filter(None, lines)))
            self.demand_statuses(owner)

    def mend_failed_start(self):
        for name, node in self.cluster.nodes.items():
            line = said(node.log(), GIVEN_UP)
            # Its standby, 30 s later, is waited for.
            claims = self.cluster.owner() == name and node.status() == MINE
            if line and not node.moves_resources() and self.holds(name) and not claims:
                self.mend(node, FAILED_TAKEN_FOR_DONE, line)
                return

    def mend_standby(self):
        for name, node in self.cluster.nodes.items():
            line = said(node.log(), f"{name} wants to go standby")
            if line and not node.moves_resources() and self.books(name) == "transition":
                self.mend(node, ENDLESS_STANDBY, line)
                return

    def stop_where_asked_for(self):
        """Does what status says where Heartbeat has no reason for another stop."""
        for name, node in self.cluster.nodes.items():
            owner = self.cluster.owner()
            if owner == self.cluster.peer(name) and not self.holds(name) and not self.is_young(name) \
                    and node.status() == UNKNOWN:
                node.run("/etc/init.d/elastic-ip", "stop")
                self.now.mended.append(STOP_ASKED_FOR)
                self.now.notes.append(f"{STOP_ASKED_FOR} on {name}")
                if self.cluster.owner() != owner:
                    raise Violation(f"another stop on {name} took the address from {owner}")
