"""What must be so after a step, whatever happened in it."""

from books import Books
from cluster import ADDRESS, COMPLAINT, KNOWN_COMPLAINTS, UNSURE
from step import Step, Violation
from symptoms import DEAF, ENDLESS_STANDBY, GARBLED_MESSAGE, HANDED_OVER, KILLED, LATE_STANDBY, NOBODYS

UNEXPLAINED_SHOWN = 6


class Audit(Books):
    # The step that is on.
    now: Step
    # `RELEASE_ON_STOP`.
    release: str

    def audit(self, begun: float, explains: tuple[str, ...]):
        """`explains` has parts of the lines that are logged as errors because of the fault."""
        cluster = self.cluster
        if disorder := self.disorder():
            raise Violation(disorder)
        for node in cluster.nodes.values():
            if node.reboots():
                raise Violation(f"{node.name} called {node.reboots()}")
            if not node.heartbeat_processes():
                raise Violation(f"heartbeat does not run on {node.name}")
        self.audit_calls(begun)
        known = [*KNOWN_COMPLAINTS, *DEAF, *LATE_STANDBY, *explains]
        if any(map(self.is_young, cluster.nodes)):
            known.append(UNSURE)
        if self.release == "no":
            known.append(HANDED_OVER)
        if cluster.garbled or self.now.mended:
            known += KILLED
        if {ENDLESS_STANDBY, GARBLED_MESSAGE} & set(self.now.mended):
            known.append(NOBODYS)
        unexplained = [line for node in cluster.nodes.values() for line in node.log()
                       if COMPLAINT.search(line) and not any(text in line for text in known)]
        if unexplained:
            shown = [line[16:200] for line in unexplained[:UNEXPLAINED_SHOWN]]
            raise Violation(f"{len(unexplained)} lines not explained:\n        " + "\n        ".join(shown))

    def audit_calls(self, begun: float):
        """From the proxy's journal: who changed what."""
        cluster = self.cluster
        names = {address: name for name, address in cluster.public.items()}
        owner = self.now.owner
        for call in sorted(cluster.ec2.calls(begun), key=lambda call: call.time):
            caller = names.get(call.source)
            if not call.after:
                continue
            before, after = (cluster.name_of(owners[ADDRESS]) for owners in (call.before, call.after))
            if before != owner:
                raise Violation(f"the address went from {owner} to {before} without a call")
            owner = after
            if call.action == "DisassociateAddress" and before != caller and after != before:
                raise Violation(f"{caller} released the address of {before}")
            if call.action == "AssociateAddress" and call.status == 200 and after != caller:
                raise Violation(f"{caller} associated the address with {after}")
            if call.action not in ("AssociateAddress", "DisassociateAddress") and after != before:
                raise Violation(f"{call.action} by {caller} moved the address from {before} to {after}")
            if self.release == "no" and caller and after is None:
                raise Violation(f"{caller} left the address without an owner in spite of RELEASE_ON_STOP=no")
