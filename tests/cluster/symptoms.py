"""What Heartbeat and the agent say in the log when something is wrong, and what Heartbeat does wrong by itself."""

from cluster import GARBLED
from node import MIXED

# What Heartbeat says of a start that failed for good.
GIVEN_UP = "CRIT: Giving up resources due to failure of"
# The agent failed, and ResourceManager says so; a status after a failed stop is not to be told.
FAILED = ("Return code 1 from /etc/ha.d/", "a stop failed earlier")
# No try could help, so a start failed at once and for good.
FAILED_FOR_GOOD = ("Return code 6 from /etc/ha.d/", GIVEN_UP)
# A node that has just joined gets the last message of a failback whose first it has not had.
LATE_STANDBY = ("Ignored standby message 'done' from",)
# What is left of a killed Heartbeat, while it is.
KILLED = ("killed by signal", "Emergency Shutdown", "Killing pid")
# The nodes have missed each other, and meet again.
MISSED = ("returning after partition", "Late heartbeat: Node", "Both machines own")
# A node that cannot ask EC2 is still at the peer's takeover when the peer is back, and for a moment
# the books of both say that they own everything.
OVERTAKEN = ("Both machines own", "Ignored standby message 'other' from")
# What status says between a node's stop and its peer's start.
HANDED_OVER = "stopped here, and left with this instance until a peer takes it"
# What Heartbeat does wrong by itself, so that somebody has to start it again.
# What its scripts tell it is garbled on the way: at a cold start, with that line of the cluster's;
GARBLED_START = "heartbeat garbled its own start"
# or later, so that it waits for ever for what it has been told.
GARBLED_MESSAGE = "heartbeat garbled what a script of its told it"
DEAF = (MIXED, GARBLED)
# A peer that is heard again at the very moment it is declared dead is taken for dead, but not for
# one that returns after a partition. Then both hold everything for ever, and say so.
HELD_BY_BOTH = "heartbeat left the resources to both"
# Its books take a start for done that failed for good, and the standby that is to bring the
# resources to the peer is for the group that is not concerned.
FAILED_TAKEN_FOR_DONE = "heartbeat took a failed start for done"
# A peer that dies while it is to take over, and is back before it is missed, has forgotten that;
# its node waits for it.
ENDLESS_STANDBY = "heartbeat waited for ever for the end of a standby"
# What its peer says while it waits.
NOBODYS = "No one owns"
# Not Heartbeat's: the agent's status is not to be told after a failed stop, and asks for another.
STOP_ASKED_FOR = "a status asked for another stop"


def said(log: list[str], *texts: str) -> str | None:
    """The first line with one of them."""
    return next((line for line in log if any(text in line for text in texts)), None)
