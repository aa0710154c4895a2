"""What a call costs: elastic-ip side by side with what else people use, and with the limit of the wire.

    calls.py [--quick]      inside tests/cluster/sandbox
"""

import contextlib
import os
import re
import signal
import statistics
import sys
import time
from pathlib import Path

# What bench/report renders.
from calls_page import plot, section, summaries  # noqa: F401
from endpoint import ADDRESS
from network import FAR, ME, PLACE, Network
from process import Used, spawn
from record import REPOSITORY, Record
from subjects import ACTIONS, ARTICLE, AWSEIP, LIMIT, OURS, PEER, SUBJECTS, Callers, about_the_subjects

ROUND_TRIPS = (0, 0.001, 0.02, 0.08)
ROUNDS = 21
# One round in so many has the slow subjects as well.
SLOW_EVERY = 7

# What `--quick` demands: at most so often the limit's time where round trips are what costs, at least so often faster than awseip
# where they cost nothing, and exactly so many requests.
QUICK_ROUNDS = 11
MOST_OF_LIMIT, LEAST_OF_AWSEIP = 1.2, 100
REQUESTS = dict(zip(ACTIONS, (1, 1, 2, 1, 2, 1)))


class Bench:
    def __init__(self, network: Network, limit: Path):
        self.network, self.limit = network, limit
        self.answered: list[float] = []

    def callers(self, scheme: str) -> Callers:
        """Set up, with elastic-ip's requests recorded for the limit."""
        callers = Callers(f"{scheme}://{FAR}", self.limit)
        for action in ACTIONS:
            callers.record(action, self.call(callers, OURS, action)[1]["requests"])
        return callers

    def call(self, callers: Callers, subject: str, action: str, wrapper: tuple[str, ...] = ()) -> tuple[Used, dict]:
        """Has a subject do it, sees to it that it was done, and returns what it took and what EC2 saw of it."""
        _, before, after, asked = ACTIONS[action]
        if subject == OURS:
            callers.boot()
            if asked:
                self.network.ec2.be(before)
                callers.ask()
        self.network.ec2.be(before)
        command, environment = callers.call(subject, action)
        used = spawn([*wrapper, *command], environment)
        seen = self.network.ec2.be(None)
        self.answered += seen["answered"]
        if seen["owner"] != after:
            raise RuntimeError(f"{subject}: {action}: the address is with {seen['owner']}, not with {after}")
        return used, seen

    def times(self, callers: Callers, rounds: int, subjects) -> dict:
        """Wall and CPU of each subject's actions, by turns; `subjects(round)` are those that have one in this round."""
        taken: dict = {}
        for number in range(rounds):
            for action in ACTIONS:
                for subject in subjects(number):
                    used, _ = self.call(callers, subject, action)
                    taken.setdefault(subject, {}).setdefault(action, []).append(used)
        return {subject: {action: {"wall": spread([used.wall for used in all_used]), "cpu": spread([used.cpu for used in all_used])}
                          for action, all_used in actions.items()}
                for subject, actions in taken.items()}

    def cost(self, callers: Callers, subject: str, action: str) -> dict:
        """What does not vary. Traced, so not timed."""
        trace, peak = PLACE / "trace", PLACE / "peak"
        self.network.metadata.be(None)
        _, seen = self.call(callers, subject, action, (
            "/usr/bin/strace", "-f", "-qq", "-e", "trace=clone,clone3,fork,vfork", "-o", str(trace),
            # Its child's memory begins with nothing of a parent's, as that of this process's children does not.
            "/usr/bin/time", "-f", "%M", "-o", str(peak)))
        begun = [line for line in trace.read_text().splitlines() if re.search(r"\b(clone3?|v?fork)\(", line) and "CLONE_THREAD" not in line]
        return {
            # The subject itself is time's child.
            "processes": len(begun) - 1,
            "peak": round(int(peak.read_text()) / 1024, 1),
            "calls": [called(request) for request in seen["requests"]],
            "connections": seen["connections"],
            "metadata": len(self.network.metadata.be(None)["requests"]),
        }


def called(request: str) -> str:
    return re.search(r"\bAction=(\w+)", request)[1]


def spread(seconds: list[float]) -> dict:
    """The median, the tenth and the ninetieth percentile, in ms."""
    tenths = statistics.quantiles(seconds, n=10, method="inclusive") if len(seconds) > 1 else seconds * 9
    return {"median": round(1000 * tenths[4], 2), "p10": round(1000 * tenths[0], 2), "p90": round(1000 * tenths[8], 2), "n": len(seconds)}


def against_moto(network: Network, limit: Path, costs: dict) -> int:
    """Has each subject do each action against moto, which must say that it was done, by the calls that were counted before.
    Returns how many that were."""
    sys.path.append(str(REPOSITORY / "tests/cluster"))
    import ec2
    with contextlib.closing(ec2.Ec2("127.0.0.1", ADDRESS, PLACE)) as moto:
        me, peer = (instance["InstanceId"] for instance in moto.instances)
        network.metadata.be(None, me)
        callers = Callers(moto.endpoint, limit, me, moto.allocation)
        done = 0
        for subject in (OURS, *AWSEIP, *ARTICLE):
            for action, (_, before, after, asked) in ACTIONS.items():
                moto.disassociate()
                # awseip does not say that it may take what a peer has. EC2 lets it, moto does not.
                if before and not (before == PEER and subject in AWSEIP):
                    moto.associate({ME: me, PEER: peer}[before])
                callers.boot()
                if subject == OURS and asked:
                    callers.ask()
                began = time.monotonic()
                spawn(*callers.call(subject, action))
                calls = [call.action for call in moto.calls(began)]
                owner = moto.owner()
                if owner != {ME: me, None: None}[after] or calls != costs[subject][action]["calls"]:
                    raise RuntimeError(f"{subject}: {action}: against moto the address is with {owner} after {calls}")
                done += 1
        return done


def measure():
    record = Record("calls")
    limit = REPOSITORY / "target/bench/cargo/release/examples/limit"
    with contextlib.ExitStack() as closing:
        network = Network(closing)
        bench = Bench(network, limit)
        https, http = bench.callers("https"), bench.callers("http")
        costs = {subject: {action: bench.cost(https, subject, action) for action in ACTIONS} for subject in SUBJECTS}
        moto = against_moto(network, limit, costs)
        network.metadata.be(None)
        bench.answered.clear()
        settings = []
        for scheme, callers in (("https", https), ("http", http)):
            for round_trip in ROUND_TRIPS:
                measured = network.stretch(round_trip)

                def taking_part(number):
                    return SUBJECTS if scheme == "https" and number % SLOW_EVERY == SLOW_EVERY // 2 else (LIMIT, OURS)
                print(f"calls: {scheme}, {1000 * round_trip:g} ms", file=sys.stderr, flush=True)
                times = bench.times(callers, ROUNDS, taking_part)
                settings.append({"scheme": scheme, "rtt": 1000 * round_trip, "measured": round(1000 * measured, 2), "times": times})
        answer = round(1e6 * statistics.median(bench.answered))
    record.save({"subjects": about_the_subjects(), "moto": moto, "answer": answer, "costs": costs, "settings": settings})


def quick():
    """Fails where elastic-ip is slower than it should be beside something else in the same run."""
    awseip = next(iter(AWSEIP))
    with contextlib.ExitStack() as closing:
        network = Network(closing)
        bench = Bench(network, REPOSITORY / "target/debug/examples/limit")
        callers = bench.callers("http")
        network.stretch(ROUND_TRIPS[-1])
        far = bench.times(callers, QUICK_ROUNDS, lambda _: (LIMIT, OURS))
        network.stretch(0)
        near = bench.times(callers, QUICK_ROUNDS, lambda number: (OURS, awseip) if number < 2 else (OURS,))
        costs = {action: bench.cost(callers, OURS, action) for action in ACTIONS}
    wrong = []
    for action, cost in costs.items():
        limit, ours = (far[subject][action]["wall"]["median"] for subject in (LIMIT, OURS))
        peer, beside = (near[subject][action]["wall"]["median"] for subject in (awseip, OURS))
        line = f"{action}: {ours / limit:.2f} × the limit, {peer / beside:.0f} × as fast as awseip, " \
            f"{cost['processes']} processes, {cost['connections']} connections, {len(cost['calls'])} requests"
        good = ours <= MOST_OF_LIMIT * limit and peer >= LEAST_OF_AWSEIP * beside and \
            (cost["processes"], cost["connections"], len(cost["calls"])) == (0, 1, REQUESTS[action])
        print(f"calls: {line}{'' if good else '  <- WRONG'}")
        wrong += [] if good else [action]
    if wrong:
        sys.exit(f"calls: wanted at most {MOST_OF_LIMIT} × the limit, at least {LEAST_OF_AWSEIP} × as fast as awseip, "
                 f"no process, 1 connection and {REQUESTS} requests")


def main():
    if not os.environ.get("ELASTIC_IP_SANDBOX"):
        sys.exit("bench/calls.py: changes this machine's network and authorities but in tests/cluster/sandbox: use bench/run calls")
    # The sandbox, which waits for this to end, has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[1:] == ["--quick"]:
        quick()
    else:
        measure()


if __name__ == "__main__":
    main()
