"""A zone fails: the peers of all its nodes take their addresses over at once, in one account, through EC2's token buckets.

    zone.py      inside tests/cluster/sandbox

Thousands are played by bench/zone.rs in virtual time; 200 real processes, through a real bucket, show whether that is so.
"""

import asyncio
import json
import math
import re
import statistics
import subprocess
import time
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs

from endpoint import ANSWER, REFUSAL
from network import ME, PLACE, package
from record import REPOSITORY, Record
from subjects import PEER, PROGRAM

PLAY = REPOSITORY / "target/bench/cargo/release/examples/zone"

NODES = (10, 100, 1000, 5000)
RUNS = {10: 10, 100: 10, 1000: 5, 5000: 3}
# Size and refill; of two, the second is for the associations.
SLOW, FAST, DOCUMENTED = ((50, 5),), ((100, 20),), ((100, 20), (50, 5))
# Heartbeats come once a second, so that two nodes find their peers dead up to two seconds apart.
SPREAD = 2.0
ANSWER_TIME = 0.02
GOAL = 1.15
REAL, REAL_ANSWER, REAL_RUNS, REAL_PLAYED = 200, 0.001, 3, 20
TOLERANCE = 0.1


def play(nodes: int, buckets, spread: float = SPREAD, answer: float = ANSWER_TIME, charged: bool = False, runs: int | None = None) -> dict:
    words = [str(nodes), f"{spread * 1000:.0f}", f"{answer * 1000:.0f}", *(f"{size}:{refill}" for size, refill in buckets),
             str(runs or RUNS[nodes]), *(["charged"] if charged else [])]
    played = json.loads(subprocess.check_output([str(PLAY), *words]))
    setting = {"nodes": nodes, "buckets": buckets, "spread": spread, "answer": answer, "charged": charged}
    return setting | summed(setting, played)


def summed(setting: dict, runs: list[dict]) -> dict:
    """`runs` as bench/zone.rs prints them."""
    nodes = setting["nodes"]
    return {
        "limit": limit(nodes, setting["buckets"], setting["spread"], setting["answer"]),
        "runs": len(runs),
        "last": spread_of([run["served"][-1] if len(run["served"]) == nodes else math.inf for run in runs]),
        "half": spread_of([run["served"][nodes // 2 - 1] if len(run["served"]) >= nodes // 2 else math.inf for run in runs]),
        "sent": statistics.mean((run["describes"][0] + run["associates"][0]) / nodes for run in runs),
        "looks": statistics.mean(run["describes"][1] / nodes for run in runs),
        "most": max(run["most"] for run in runs),
        "slowest": max(run["slowest"] for run in runs),
        "gave_up": sum(run["gave_up"] for run in runs),
        "curve": curve(runs[0]["served"], nodes),
    }


def spread_of(values: list[float]) -> dict:
    return {"median": statistics.median(values), "mean": statistics.mean(values), "min": min(values), "max": max(values)}


def curve(served: list[float], nodes: int) -> list[float]:
    """When each hundredth of the nodes was served."""
    steps = [math.ceil(nodes * share / 100) - 1 for share in range(1, 101)]
    return [round(served[step], 2) for step in steps if step < len(served)]


def limit(nodes: float, buckets, spread: float, answer: float) -> float:
    """The time in which the buckets take a describe and an associate of each node, were the nodes told when to call."""
    calls = 2 if len(buckets) == 1 else 1
    return max(spread + 2 * answer, *((calls * nodes - size) / refill for size, refill in buckets))


def unavoidable(setting: dict) -> float:
    """The calls for an address if all who find the bucket empty ask again whenever the time passed has grown by as much as the goal
    lets them be late, until their turn comes. Turns come evenly from the first second to the limit."""
    ends = setting["limit"]
    size, calls = (setting["buckets"][-1][0], 2 if len(setting["buckets"]) == 1 else 1)
    waiting = max(0.0, 1 - size / (calls * setting["nodes"]))
    return 2 + waiting * max(0.0, (math.log(ends) - 1 + 1 / ends) / math.log(GOAL))


class Bucket:
    def __init__(self, size: float, refill: float):
        self.size, self.refill = size, refill
        self.level, self.at = size, time.monotonic()

    def draw(self) -> bool:
        now = time.monotonic()
        self.level = min(self.size, self.level + (now - self.at) * self.refill)
        self.at = now
        granted = self.level >= 1
        self.level -= granted
        return granted


class Account:
    """EC2, answering at once, with one address for each node, which the dead peer has."""

    def __init__(self, bucket: Bucket):
        self.bucket = bucket
        self.owners: dict[str, str] = {}
        self.calls, self.taken, self.callers = Counter(), Counter(), Counter()
        self.served: list[float] = []

    def answer(self, call: dict) -> tuple[int, str]:
        action = call["Action"]
        number = call["PublicIp.1"] if action == "DescribeAddresses" else address(int(call["AllocationId"].split("-")[1], 16))
        self.calls[action] += 1
        self.callers[number] += 1
        if not self.bucket.draw():
            return 503, REFUSAL.format("RequestLimitExceeded")
        self.taken[action] += 1
        allocation = f"eipalloc-{index(number):017x}"
        if action == "DescribeAddresses":
            item = f"<publicIp>{number}</publicIp><allocationId>{allocation}</allocationId><domain>vpc</domain>" \
                f"<associationId>eipassoc-{index(number):017x}</associationId><instanceId>{self.owners.get(number, PEER)}</instanceId>"
            return 200, ANSWER.format(action, f"<addressesSet><item>{item}</item></addressesSet>")
        if number not in self.owners:
            self.served.append(time.monotonic())
        self.owners[number] = call["InstanceId"]
        return 200, ANSWER.format(action, f"<return>true</return><associationId>eipassoc-1{index(number):016x}</associationId>")

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"content-length: *(\d+)", head.lower())[1])
                call = {name: values[0] for name, values in parse_qs((await reader.readexactly(length)).decode()).items()}
                status, text = self.answer(call)
                writer.write(f"HTTP/1.1 {status} -\r\nContent-Type: text/xml;charset=UTF-8\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def address(number: int) -> str:
    return f"203.0.{113 + number // 200}.{1 + number % 200}"


def index(number: str) -> int:
    third, fourth = (int(part) for part in number.split(".")[2:])
    return (third - 113) * 200 + fourth - 1


async def real() -> dict:
    """One run of real processes, in the form of bench/zone.rs. All are there, short of being the program, before the first begins."""
    account = Account(Bucket(*SLOW[0]))
    server = await asyncio.start_server(account.converse, "127.0.0.1", 0, backlog=2 * REAL)
    port = server.sockets[0].getsockname()[1]
    defaults = PLACE / "etc/default/elastic-ip"
    defaults.parent.mkdir(parents=True, exist_ok=True)
    defaults.write_text(f"MY_ID={ME}\nAWS_REGION=eu-west-1\nAWS_ENDPOINT_URL_EC2=http://127.0.0.1:{port}\n")
    keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEDUMMY0000", "AWS_SECRET_ACCESS_KEY": "sEcReTcAnArY/of/the/bench/0000000000000"}
    nodes = [await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", 'read -r _ && exec "$@"', "sh", str(PROGRAM), "--root", str(PLACE), address(number), "start",
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=keys) for number in range(REAL)]
    begun = time.monotonic()
    slowest = 0.0

    async def begin(number: int, node: asyncio.subprocess.Process):
        nonlocal slowest
        await asyncio.sleep(begun + SPREAD * number / (REAL - 1) - time.monotonic())
        mine = time.monotonic()
        node.stdin.write(b"\n")
        code = await node.wait()
        slowest = max(slowest, time.monotonic() - mine)
        return code
    try:
        codes = await asyncio.gather(*(begin(number, node) for number, node in enumerate(nodes)))
    finally:
        for node in nodes:
            if node.returncode is None:
                node.kill()
        server.close()
    return {
        "served": [round(at - begun, 3) for at in account.served], "slowest": slowest,
        "describes": [account.calls["DescribeAddresses"], account.taken["DescribeAddresses"]],
        "associates": [account.calls["AssociateAddress"], account.taken["AssociateAddress"]],
        "most": max(account.callers.values()), "gave_up": sum(code != 0 for code in codes),
    }


def measure():
    record = Record("zone")
    subprocess.check_call(["dpkg-deb", "--extract", str(package()), str(PLACE / "package")])
    figures = {
        "start_timeout": int(re.search(r'"START_TIMEOUT", (\d+)', (REPOSITORY / "src/config.rs").read_text())[1]),
        "cases": [play(nodes, buckets) for buckets in (DOCUMENTED, SLOW, FAST) for nodes in NODES],
        "harder": [play(nodes, SLOW, spread=0) for nodes in NODES] + [play(1000, SLOW, answer=0.1), play(1000, DOCUMENTED, answer=0.1)]
        + [play(nodes, SLOW, charged=True) for nodes in (100, 1000)],
    }
    setting = {"nodes": REAL, "buckets": SLOW, "spread": SPREAD, "answer": REAL_ANSWER, "charged": False}
    figures["played"] = play(REAL, SLOW, answer=REAL_ANSWER, runs=REAL_PLAYED)
    figures["real"] = setting | summed(setting, [asyncio.run(real()) for _ in range(REAL_RUNS)])
    record.save(figures)


def section(figures: dict) -> str:
    played, real_run = figures["played"], figures["real"]
    common = figures["cases"]
    documented = [case for case in common if len(case["buckets"]) == 2]
    single = [case for case in common if len(case["buckets"]) == 1]
    longest = max(common, key=lambda case: case["last"]["max"])
    met = [case for case in common if case["last"]["median"] <= GOAL * case["limit"]]
    gave_up = sum(case["gave_up"] for case in common)
    ends, calls = difference(figures, lambda run: run["last"]["mean"]), difference(figures, lambda run: run["sent"])
    return f"""## A zone fails

![Share of the addresses that are with the peer, over time, beside what the buckets allow](zone.svg)

All pairs of an account that have their active node in one zone fail over at once, and EC2 takes only so many calls: an account
has, in each region, a bucket of tokens [for each action](https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html),
one call takes one token, and an empty bucket means `RequestLimitExceeded`. Actions that change nothing have {DOCUMENTED[0][0]} tokens and get {DOCUMENTED[0][1]}
a second, others {DOCUMENTED[1][0]} and {DOCUMENTED[1][1]}. Harder is one bucket for both, where those who look take away from those who are due.
[bench/zone.rs](../bench/zone.rs) plays that in virtual time with the program's own start (`src/takeover/operation.rs`) and waits (`src/retry.rs`): the
nodes find their peers dead within {SPREAD:g} s, a call takes {1000 * ANSWER_TIME:g} ms. **The limit** is when the bucket would have taken a describe and an
associate of each node, if each had known when to call. *Asking at leisure* is 2 calls, and one more each time the
time passed has grown by {GOAL - 1:.0%}, until the turn of a node comes: who knows neither how many wait nor how fast the bucket fills
cannot ask less and still be sure to be no later than that. Aimed at: {GOAL:g} × the limit, 2 calls beyond what cannot be avoided.

{cases_table(common)}

{len(met)} of these {len(common)} zones are done within {GOAL:g} × the limit. With the documented buckets the last of all has its address after at most
{worst(documented):.2f} × the limit, with one bucket after {worst(single):.2f} ×: an associate may be made only within a second of the describe it relies on, so
that it does not take the address from a live owner; so a describe whose associate finds no token in that second is a token lost (there are
{max(case["looks"] for case in single):.2f} describes for an address at most), and so is the time that the last ones oversleep. Within that second an associate is tried
again every 25 to 50 ms; with documented buckets and an EC2 that answers at once that is most of the calls. {gave_up or 'None'} of the nodes
gave up before its deadline.

Harder still: all at the same instant, when the bucket is empty before the first associate; an EC2 that takes longer to answer; and
one that lets a refused call, too, cost what has come in.

{cases_table(figures["harder"])}

**Waits.** A throttled call is tried again within a second, then after 0.7 × *t*^¾ seconds (± 25 %) where *t* is the time since the
start began: 4 s after 10 s, 15 s after a minute, 3½ minutes after 2000 s.

**`START_TIMEOUT`.** The slowest of these {len(common)} zones, {longest['nodes']} nodes at {bucket_names(longest['buckets'])}, is done after {longest['last']['max']:,.0f} s of which the
bucket needs {longest['limit']:,.0f} s. Hence a start goes on for {figures['start_timeout']} s as long as EC2 throttles it, unless `START_TIMEOUT` is set: under Heartbeat a start that gives up is final.

**With real processes**: {real_run['nodes']} × `elastic-ip start` on this machine against a real bucket ({bucket_names(real_run['buckets'])}), {real_run['runs']} runs, beside {played['runs']} runs in virtual
time. The last had its address after {real_run['last']['mean']:.1f} s ({real_run['last']['min']:.1f} to {real_run['last']['max']:.1f}) beside {played['last']['mean']:.1f} s ({played['last']['min']:.1f} to {played['last']['max']:.1f}), {ends:+.1%}; half of them after
{real_run['half']['mean']:.1f} s beside {played['half']['mean']:.1f} s; calls for each address {real_run['sent']:.1f} beside {played['sent']:.1f}, {calls:+.1%}. Aimed at: within {TOLERANCE:.0%}.
"""


def digits(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:,.0f}"


def difference(figures: dict, of) -> float:
    return of(figures["real"]) / of(figures["played"]) - 1


def worst(cases: list[dict]) -> float:
    return max(case["last"]["median"] / case["limit"] for case in cases)


def bucket_names(buckets) -> str:
    names = [f"{size:g} + {refill:g}/s" for size, refill in buckets]
    return f"describe {names[0]}, associate {names[1]}" if len(names) == 2 else names[0]


def cases_table(cases: list[dict]) -> str:
    head = ["bucket", "nodes", "limit, s", "all done, s", "× limit", "slowest node, s", "calls for each address", "asking at leisure", "most by one", "gave up"]
    rows = []
    for case in cases:
        name = bucket_names(case["buckets"])
        notes = [note for note, so in (("same instant", not case["spread"]), (f"{1000 * case['answer']:g} ms", case["answer"] != ANSWER_TIME),
                                       ("refusals cost", case["charged"])) if so]
        last = case["last"]
        rows.append([", ".join([name, *notes]), f"{case['nodes']}", digits(case["limit"]),
                     f"{digits(last['median'])} ({digits(last['min'])} to {digits(last['max'])})", f"{last['median'] / case['limit']:.2f}",
                     digits(case["slowest"]), f"{case['sent']:.1f}", f"{unavoidable(case):.1f}", f"{case['most']}", f"{case['gave_up']}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def plot(figures: dict, path: Path):
    from matplotlib.figure import Figure
    figure = Figure(figsize=(10, 7.2))
    panels = figure.subplots(2, 2, sharey=True)
    colours = dict(zip((*NODES, REAL), ("#2ca02c", "#1f77b4", "#9467bd", "#d62728", "#1f77b4")))
    shares = range(1, 101)

    def draw(panel, case: dict, style: str, label: str | None):
        panel.plot(case["curve"], shares[:len(case["curve"])], style, color=colours[case["nodes"]], label=label, linewidth=1.5)

    def draw_limit(panel, case: dict):
        times = [limit(case["nodes"] * share / 100, case["buckets"], case["spread"] * share / 100, case["answer"]) for share in shares]
        panel.plot(times, shares, ":", color=colours[case["nodes"]], linewidth=1)

    for panel, buckets in zip(panels.flat, (DOCUMENTED, SLOW, FAST)):
        for case in figures["cases"]:
            if tuple(map(tuple, case["buckets"])) == buckets:
                draw(panel, case, "-", f"{case['nodes']} nodes")
                draw_limit(panel, case)
        panel.set_title(bucket_names(buckets))
    last = panels[1][1]
    draw(last, figures["real"], "-", f"{REAL} real processes")
    draw(last, figures["played"], "--", "the same in virtual time")
    draw_limit(last, figures["played"])
    last.set_title(f"{bucket_names(SLOW)}, real and virtual")
    last.legend(loc="lower right", frameon=False)
    for panel in panels.flat:
        panel.grid(alpha=0.3)
        panel.set_ylim(0, 102)
    for panel in panels.flat[:3]:
        panel.set_xscale("log")
        panel.set_xlim(left=0.2)
        panel.legend(loc="upper left")
    figure.supxlabel("seconds since the first node found its peer dead; dotted: the limit", fontsize="medium")
    for row in panels:
        row[0].set_ylabel("addresses moved, %")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    measure()
