"""The cluster's view: how long a failover takes, and how long nobody has the address.

    failovers.py [--count N] [--runs N] [--quick]

N failovers with each of two settings of Heartbeat, and N runs of each move of the address with each
script. `--quick` is two failovers, and keeps nothing. Runs in tests/cluster/sandbox.
"""

import argparse
import concurrent.futures
import math
import multiprocessing
import statistics
import sys

from record import Record

# Beside these one more listens. All of them mostly wait.
CLUSTERS = 3
# Shorter would find nobody dead sooner: Heartbeat looks at most every 250 ms.
KEEPALIVE = 0.1
LISTENING = 120
# Heartbeat's FAQ: 1.5 to 2 times the longest silence that was seen.
MARGIN = 2
TRIES = 3
SETTINGS = {"article": "the article's: keepalive 1, deadtime 10", "fast": "the fastest stable one"}
SCRIPTS = {
    "article": "the article's script",
    "yes": "elastic-ip, `RELEASE_ON_STOP=yes`",
    "no": "elastic-ip, `RELEASE_ON_STOP=no`",
}
PARTS = {
    "total": "from the kill until EC2 says the peer has it",
    "detection": "detection: until Heartbeat says `node …: is dead`",
    "scripts": "Heartbeat's scripts: until the agent's first question is at EC2",
    "status": "the agent's status, and Heartbeat's scripts around it: until Heartbeat calls start",
    "start": "the agent's start: until EC2 has answered AssociateAddress",
}
COLOURS = {"server1": "#0072b2", "server2": "#e69f00", None: "#cc0000"}


def stable(longest: float) -> float:
    """The deadtime for so long a silence: both in seconds."""
    return math.ceil(max(longest, 2 * KEEPALIVE) * MARGIN * 20) / 20


class Pool:
    """A process for each cluster."""

    def __init__(self, size: int):
        import clusters
        self.clusters = clusters
        spawn = multiprocessing.get_context("spawn")
        self.processes = [concurrent.futures.ProcessPoolExecutor(1, spawn, clusters.build, (number,)) for number in range(size)]

    def ask(self, number: int, method: str, *arguments) -> concurrent.futures.Future:
        return self.processes[number].submit(self.clusters.ask, method, *arguments)

    def fail_over(self, count: int, *timing: float) -> dict:
        """So many failovers in all, by all clusters but the last."""
        shares = [count // CLUSTERS + (number < count % CLUSTERS) for number in range(CLUSTERS)]
        asked = [self.ask(number, "failovers", share, *timing) for number, share in enumerate(shares)]
        told = [future.result() for future in asked]
        merged = {name: sum((one[name] for one in told), type(told[0][name])()) for name in ("apart", "garbled", "alarms", "late", "load")}
        return merged | {"taken": [taken for one in told for taken in one["done"]["failover"]]}


def measure(count: int, runs: int) -> dict:
    pool = Pool(CLUSTERS + 1)
    say(f"{count} failovers with deadtime 10")
    listening = pool.ask(CLUSTERS, "listen", KEEPALIVE, LISTENING)
    figures = {"article": pool.fail_over(count)}
    heard = listening.result()
    deadtime = stable(max(heard["late"], default=0) / 1000)
    figures["listening"] = heard
    figures["unstable"] = []
    for _ in range(TRIES):
        say(f"{count} failovers with deadtime {shown(deadtime)}")
        figures["fast"] = pool.fail_over(count, KEEPALIVE, deadtime) | {"keepalive": KEEPALIVE, "deadtime": deadtime}
        if not figures["fast"]["alarms"]:
            break
        figures["unstable"].append(figures["fast"])
        deadtime *= 1.5
    else:
        sys.exit(f"bench/failovers: live nodes were taken for dead even with deadtime {shown(deadtime / 1.5)}")
    say(f"{runs} runs of each move")
    asked = {script: pool.ask(number, "moves", script, runs) for number, script in enumerate(SCRIPTS)}
    figures["moves"] = {script: future.result() for script, future in asked.items()}
    return figures


def say(what: str):
    print(f"bench/failovers: {what}", file=sys.stderr, flush=True)


def quick():
    pool = Pool(1)
    told = pool.ask(0, "failovers", 2, KEEPALIVE, 1).result()
    for taken in told["done"]["failover"]:
        print(", ".join(f"{name} {taken[name] * 1000:.0f} ms" for name in PARTS))
    print(*told["apart"], sep="\n")
    if told["alarms"]:
        sys.exit(f"bench/failovers: {told['alarms']} false alarms")


# What it comes to


def section(figures: dict) -> str:
    fast, heard = figures["fast"], figures["listening"]
    total, start = (statistics.median_low(taken[part] for taken in fast["taken"]) for part in ("total", "start"))
    return f"""## The cluster's view

Two nodes with Debian's Heartbeat 3.0.6 and the package installed, EC2 played by moto, {CLUSTERS} such clusters side by side. All processes of
the owner's Heartbeat are killed at once (`kill -9`), and the clock stops when EC2 has answered the peer's AssociateAddress. Then the dead
Heartbeat is started again as the standby (`auto_failback off`), and the next one killed is the other. {len(figures["article"]["taken"])} failovers with the article's
`ha.cf` (load {load(figures["article"])}) and {len(fast["taken"])} with the fastest stable one, keepalive {shown(fast["keepalive"])} and deadtime {shown(fast["deadtime"])} (load {load(fast)}):

{parts({"deadtime 10": figures["article"]["taken"], f"deadtime {shown(fast['deadtime'])}": fast["taken"]})}

Heartbeat counts its deadtime from the last heartbeat before the kill on, and looks whether it is over when it sends a heartbeat of its own, at
most every 250 ms. Of the {shown(total)} that the fastest setting leaves, the agent's start takes {start / total:.0%}. Before a kill, both nodes have been up for
longer than initdead, which a Heartbeat gives its peer instead of deadtime at first.

That setting is found as Heartbeat's FAQ has it (under heavy_load): {MARGIN} times the longest silence under load. While the failovers with deadtime 10 went on, another cluster
with deadtime 60 and keepalive {shown(fast["keepalive"])} only listened, for {heard["seconds"]} s; {late(heard)}. {"".join(
    f"With deadtime {shown(tried['deadtime'])}, live nodes were taken for dead {tried['alarms']} times, so it was raised by half. " for tried in figures["unstable"])}With
deadtime {shown(fast["deadtime"])}, no live node was taken for dead during the failovers; {late(fast)}. Heartbeat's log is stamped when it is
written, by a look every 2 ms.

### Without an owner

![Who has the address while it moves](failovers.svg)

How long the address was nobody's in a failback, a standby and a healed split brain: median and maximum of {len(figures["moves"]["no"]["done"]["standby"])} runs, with the article's `ha.cf`,
by EC2's journal of every call and whose the address was before and after it. The plot has the median runs. The article's script is in
[today's form](../bench/article), with Debian's AWS CLI.

{gaps(figures["moves"])}

In a healed split brain both Heartbeats stop what they hold and start anew; what the stop released is nobody's until that is over.

{misses(figures)}
"""


def parts(taken: dict[str, list]) -> str:
    shares = {"p50": [0.5], "p99, max": [0.99, 1], "min": [0]}

    def cell(figures: list[float], shares: list[float]) -> str:
        return ", ".join(dict.fromkeys(shown(percentile(figures, share)) for share in shares))
    return table(["", *(f"{setting}: {name}" for setting in taken for name in shares)], [
        [what, *(cell([one[part] for one in each], share) for each in taken.values() for share in shares.values())]
        for part, what in PARTS.items()])


def gaps(moves: dict) -> str:
    rows = []
    for move in moves["no"]["done"]:
        lengths = [[without_owner(timeline) for timeline in moves[script]["done"][move]] for script in SCRIPTS]
        rows.append([move, *(f"{shown(statistics.median_low(each))}, {shown(max(each))}" for each in lengths)])
    return table(["", *SCRIPTS.values()], rows)


def late(told: dict) -> str:
    latest = f", the latest after {max(told['late'])} ms" if told["late"] else ""
    return f"heartbeats later than twice the keepalive: {len(told['late'])}{latest}"


def misses(figures: dict) -> str:
    """What was measured again."""
    told = [figures["article"], figures["fast"], *figures["unstable"], *figures["moves"].values()]
    apart = [f"- {what}" for one in told for what in one["apart"]]
    return (f"Heartbeat [garbled its own start](reliability.md#what-heartbeat-306-itself-does-wrong) {sum(one['garbled'] for one in told)} times, and was "
            f"started again. Runs that went wrong, are in none of the figures, and were repeated: {len(apart)}.\n\n" + "\n".join(apart)).strip()


def summaries(figures: dict) -> dict[str, str]:
    """For the README."""
    def gap(script: str, move: str) -> str:
        return shown(statistics.median_low(map(without_owner, figures["moves"][script]["done"][move])))
    total, start = (shown(statistics.median_low(taken[part] for taken in figures["fast"]["taken"])) for part in ("total", "start"))
    return {
        "gaps": f"""![Who has the address in a failback, a standby and a healed split brain, with the article's script and with elastic-ip](docs/failovers.svg)

In a failback nobody has the address for {gap("article", "failback")} with the article's script, for {gap("yes", "failback")} with elastic-ip, and with `RELEASE_ON_STOP=no` for {gap("no", "failback")}; in a healed split brain for {gap("article", "healed split brain")}, {gap("yes", "healed split brain")} and {gap("no", "healed split brain")}. [How this was measured](docs/performance.md#without-an-owner).
""",
        "takeover": f"""With Heartbeat at deadtime {shown(figures["fast"]["deadtime"])}, the peer has the address {total} after `kill -9`, of which the agent's start takes {start}.
""",
    }


def plot(figures: dict, path):
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    moves = figures["moves"]
    figure = Figure(figsize=(10, 6), layout="constrained")
    panels = figure.subplots(len(moves["no"]["done"]))
    for panel, move in zip(panels, moves["no"]["done"]):
        lanes = [median_run(moves[script]["done"][move]) for script in SCRIPTS]
        # A little more than until the last change.
        end = 1.1 * max(1, *(lane[-2][0] for lane in lanes))
        for height, lane in enumerate(lanes):
            for (begun, owner), (ended, _) in zip(lane, [*lane[1:-1], (end, None)]):
                panel.barh(height, ended - begun, left=begun, height=0.7, color=COLOURS[owner])
        panel.set_title(f"{move}, seconds from its cause", loc="left", fontsize=10)
        panel.set_yticks(range(len(lanes)), [name.replace("`", "") for name in SCRIPTS.values()])
        panel.invert_yaxis()
        panel.set_xlim(0, end)
    figure.legend(handles=[Patch(color=colour, label=f"{owner or 'nobody'} has it") for owner, colour in COLOURS.items()],
                  loc="outside lower center", ncols=len(COLOURS), frameon=False)
    figure.savefig(path, metadata={"Date": None})


def median_run(timelines: list) -> list:
    """By the time without an owner."""
    return sorted(timelines, key=without_owner)[len(timelines) // 2]


def without_owner(timeline: list) -> float:
    """The seconds in which nobody had the address."""
    return sum(after[0] - before[0] for before, after in zip(timeline, timeline[1:]) if before[1] is None)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def load(told: dict) -> str:
    return f"{min(told['load']):.1f} to {max(told['load']):.1f}"


def shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms" if seconds else "0"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---", *["--:"] * (len(head) - 1)], *rows])


def main():
    parser = argparse.ArgumentParser(prog="bench/failovers", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=30, help="failovers with each setting (30)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each move with each script (3)")
    parser.add_argument("--quick", action="store_true", help="two failovers, nothing is kept")
    wanted = parser.parse_args()
    if wanted.quick:
        return quick()
    record = Record("failovers")
    record.save(measure(wanted.count, wanted.runs))


if __name__ == "__main__":
    main()
