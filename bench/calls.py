"""What a call costs: elastic-ip side by side with what else people use, and with the limit of the wire.

    calls.py [--quick]      inside tests/cluster/sandbox
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from endpoint import ADDRESS, ALLOCATION
from record import REPOSITORY, Record, output

HERE = Path(__file__).resolve().parent
DEBIAN = REPOSITORY / "target/bench/debian"
VENV = REPOSITORY / "target/bench-venv"
# Empty, in memory, and gone with the sandbox.
PLACE = REPOSITORY / "target/cluster/mnt"
PROGRAM = PLACE / "package/usr/sbin/elastic-ip"
NEAR, FAR = "198.18.0.1", "198.18.0.2"
METADATA = "169.254.169.254"
REGION, KEY, SECRET = "eu-west-1", "AKIAEXAMPLEDUMMY0000", "sEcReTcAnArY/of/the/bench/0000000000000"
ME, PEER = "i-0123456789abcdef0", "i-0fedcba9876543210"
# The system's, below its root.
AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"

# Each with its word, who has the address before, who after, and whether this node has asked for it since its boot: so
# it is in a cluster, and elastic-ip remembers what it saw.
ACTIONS = {
    "start, taking it": ("start", PEER, ME, True),
    "start, mine already": ("start", ME, ME, True),
    "start, the first call since the boot": ("start", PEER, ME, False),
    "stop": ("stop", ME, None, True),
    "stop, the first call since the boot": ("stop", ME, None, False),
    "status": ("status", ME, ME, True),
}
LIMIT, OURS = "the limit", "elastic-ip"
AWSEIP = {"awseip, Debian's CLI": "Debian", "awseip, PyPI's CLI": "PyPI"}
ARTICLE = {"the script, Debian's CLI": "Debian", "the script, PyPI's CLI": "PyPI"}
SUBJECTS = (LIMIT, OURS, *AWSEIP, *ARTICLE)
# awseip's default for its parameter `api_delay`: it sleeps that long after each change.
API_DELAY = 3

ROUND_TRIPS = (0, 0.001, 0.02, 0.08)
ROUNDS = 21
# One round in so many has the slow subjects as well.
SLOW_EVERY = 7

# What `--quick` demands: at most so often the limit's time where round trips are what costs, at least so often faster than awseip
# where they cost nothing, and exactly so many requests.
QUICK_ROUNDS = 11
MOST_OF_LIMIT, LEAST_OF_AWSEIP = 1.2, 100
REQUESTS = dict(zip(ACTIONS, (1, 1, 2, 1, 2, 1)))


class Companion:
    """A program beside this one, which answers each line with a line."""

    def __init__(self, *command: str):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # It says so when it is ready.
        self.read()

    def read(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} has ended")
        return line

    def ask(self, line: str) -> str:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.kill()
        self.process.wait()


class Endpoint(Companion):
    """See endpoint.py."""

    def be(self, owner: str | None, me: str = ME) -> dict:
        return json.loads(self.ask(json.dumps({"owner": owner, "me": me})))


class Network:
    """This side of a wire, with the package and the metadata service, and EC2 at the other end."""

    def __init__(self, closing: contextlib.ExitStack):
        def start(kind, *command):
            companion = kind(*command)
            closing.callback(companion.close)
            return companion

        run("dpkg-deb", "--extract", str(package()), str(PLACE / "package"))
        python = sys.executable
        run("ip", "address", "add", METADATA, "dev", "lo")
        run("ip", "netns", "add", "ec2")
        self.wire = start(Companion, python, str(HERE / "wire.py"), "near", "far")
        run("ip", "link", "set", "far", "netns", "ec2")
        run("ip", "address", "add", NEAR, "peer", FAR, "dev", "near")
        run("ip", "-n", "ec2", "address", "add", FAR, "peer", NEAR, "dev", "far")
        for link in (("-n", "ec2", "link", "set", "lo"), ("-n", "ec2", "link", "set", "far"), ("link", "set", "near")):
            run("ip", *link, "up")
        certificate = make_certificate()
        self.ec2 = start(Endpoint, "ip", "netns", "exec", "ec2", python, str(HERE / "endpoint.py"), FAR, "80", "443", str(certificate))
        self.metadata = start(Endpoint, python, str(HERE / "endpoint.py"), METADATA, "80")
        self.metadata.be(None)

    def stretch(self, round_trip: float) -> float:
        """Makes the wire that long, and measures it: the median time that a connection takes, in seconds."""
        self.wire.ask(str(round_trip))
        times = []
        for _ in range(21):
            began = time.perf_counter()
            socket.create_connection((FAR, 80)).close()
            times.append(time.perf_counter() - began)
        return statistics.median(times)


def package() -> Path:
    deb, = (REPOSITORY / "target/deb").glob("elastic-ip_*.deb")
    return deb


def run(*command: str):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")


def make_certificate() -> Path:
    """EC2's, with its key. `authority.pem` has signed it, and is one of the system's as far as this sandbox goes."""
    make = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    authority, key, certificate = PLACE / "authority.pem", PLACE / "authority.key", PLACE / "ec2.pem"
    run(*make, "-subj", "/CN=the bench", "-keyout", str(key), "-out", str(authority))
    run(*make, "-subj", "/CN=EC2", "-CA", str(authority), "-CAkey", str(key), "-extensions", "usr_cert",
        "-addext", f"subjectAltName=IP:{FAR}", "-keyout", str(PLACE / "ec2.key"), "-out", str(certificate))
    system, more = Path("/", AUTHORITIES), PLACE / "authorities.pem"
    more.write_text(system.read_text() + authority.read_text())
    run("mount", "--bind", str(more), str(system))
    certificate.write_text(certificate.read_text() + (PLACE / "ec2.key").read_text())
    return certificate


class Callers:
    """The subjects, set up to call EC2 at `url`; the instance is `me`."""

    def __init__(self, url: str, limit: Path, me: str = ME, allocation: str = ALLOCATION):
        self.limit, self.url, self.allocation = limit, url, allocation
        self.place = PLACE / re.sub(r"\W+", "-", url)
        self.root = self.place / "root"
        write(self.root / "etc/default/elastic-ip",
              f'ELASTIC_IP={ADDRESS}\nAWS_PARAMS="--region={REGION}"\nAWS_ENDPOINT_URL_EC2={url}\nALLOW_PLAIN_HTTP=yes\n')
        write(self.root / AUTHORITIES, Path("/", AUTHORITIES).read_text())
        write(self.root / "root/.awssecret", f"{KEY}\n{SECRET}\n")
        write(self.root / "sys/devices/virtual/dmi/id/board_asset_tag", me + "\n")
        write(self.place / "home/.aws/credentials", f"[default]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")

    def record(self, action: str, requests: list[str]):
        """Keeps what elastic-ip sent, for the limit to send it again."""
        for number, request in enumerate(requests):
            (self.place / f"{action}-{number}").write_bytes(request.encode("latin-1"))

    def boot(self):
        """elastic-ip remembers nothing any more."""
        shutil.rmtree(self.root / "run", ignore_errors=True)

    def ask(self):
        """elastic-ip sees who has the address. It is no failure that this node has not."""
        command, environment = self.call(OURS, "status")
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def call(self, subject: str, action: str) -> tuple[list[str], dict[str, str]]:
        """The command and its environment."""
        word = ACTIONS[action][0]
        system = "/usr/sbin:/usr/bin:/sbin:/bin"
        if subject == OURS:
            return [str(PROGRAM), "--root", str(self.root), word], {"HOME": "/root", "PATH": system}
        if subject == LIMIT:
            secure = self.url.startswith("https:")
            requests = sorted(map(str, self.place.glob(f"{action}-*")))
            return [str(self.limit), f"{FAR}:{443 if secure else 80}", str(PLACE / "authority.pem") if secure else "-", *requests], {}
        debian = (AWSEIP | ARTICLE)[subject] == "Debian"
        cli = DEBIAN / "usr/bin" if debian else VENV / "bin"
        environment = {
            "HOME": str(self.place / "home"), "PATH": f"{cli}:{system}",
            "AWS_DEFAULT_REGION": REGION, "AWS_CA_BUNDLE": f"/{AUTHORITIES}",
        } | ({"PYTHONPATH": str(DEBIAN / "usr/lib/python3/dist-packages")} if debian else {})
        if subject in ARTICLE:
            return [str(HERE / "article"), word], environment | {
                "ELASTIC_IP": ADDRESS, "ALLOCATION_ID": self.allocation, "AWS_PARAMS": f"--endpoint-url {self.url}"}
        return [str(DEBIAN / "usr/lib/ocf/resource.d/heartbeat/awseip"), "monitor" if word == "status" else word], environment | {
            "OCF_ROOT": str(DEBIAN / "usr/lib/ocf"), "OCF_RESOURCE_INSTANCE": "bench", "HA_RSCTMP": str(self.place),
            "OCF_RESKEY_awscli": f"{cli}/aws --endpoint-url {self.url}",
            "OCF_RESKEY_elastic_ip": ADDRESS, "OCF_RESKEY_allocation_id": self.allocation}


def write(path: Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


@dataclass(frozen=True)
class Used:
    """Seconds."""
    wall: float
    cpu: float


def spawn(command: list[str], environment: dict[str, str]) -> Used:
    said = PLACE / "said"
    files = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
             (os.POSIX_SPAWN_OPEN, 1, str(said), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
             (os.POSIX_SPAWN_DUP2, 1, 2)]
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, environment, file_actions=files, setsigdef=[signal.SIGPIPE])
    _, status, used = os.wait4(child, 0)
    wall = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{' '.join(command)}: exit {os.waitstatus_to_exitcode(status)}: {said.read_text()}")
    return Used(wall, used.ru_utime + used.ru_stime)


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


def about_the_subjects() -> dict:
    """Versions, and bytes."""
    unpacked = dict(line.split("\t") for line in (DEBIAN / "versions").read_text().splitlines())
    pinned = dict(line.strip().split("==") for line in (HERE / "requirements.txt").read_text().splitlines() if "==" in line)
    return {"Debian": unpacked["awscli"], "PyPI": pinned["awscli"], "resource-agents": unpacked["resource-agents"],
            OURS: output(str(PROGRAM), "--version").split()[-1], "program": PROGRAM.stat().st_size, "package": package().stat().st_size}


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


def section(figures: dict) -> str:
    costs, settings, subjects = figures["costs"], figures["settings"], figures["subjects"]
    https = [one for one in settings if one["scheme"] == "https"]
    http = [one for one in settings if one["scheme"] == "http"]
    slow, fast = https[0]["times"][next(iter(AWSEIP))]["status"]["wall"]["n"], https[0]["times"][OURS]["status"]["wall"]["n"]
    lengths = ", ".join(f"{one['measured']:.2f} ms for {one['rtt']:g}" for one in https)
    pauses = {action: API_DELAY * sum("Describe" not in call for call in costs[next(iter(AWSEIP))][action]["calls"]) for action in ACTIONS}
    paused = "; ".join(f"`{action}`" for action, pause in pauses.items() if pause)
    return f"""## One call, side by side

![Time of a call over the round trip, for each action and each subject](calls.svg)

{OURS} {subjects[OURS]} out of the package; resource-agents' `awseip` ({subjects["resource-agents"]}) and the article's script in today's form
([bench/article](../bench/article)), each with Debian's AWS CLI ({subjects["Debian"]}) and PyPI's ({subjects["PyPI"]}). **The limit**
([bench/limit.rs](../bench/limit.rs)) sends the bytes that elastic-ip sent, over one connection, and does nothing else. *Round trips*
are those that even it must wait for: of the connection, of TLS 1.3 and of each request.

All took turns in one run: {fast} rounds of elastic-ip and the limit, {slow} of the others. Shown are medians, and the 10th to the
90th percentile. `awseip` sleeps for its `api_delay` of {API_DELAY} s where it changes something ({paused}); that is in its times.

EC2 is a stand-in ([bench/endpoint.py](../bench/endpoint.py)) that answers in {figures["answer"]} µs: what EC2 takes comes on top, for all alike.
It is behind a wire ([bench/wire.py](../bench/wire.py)) that holds each packet for half of the round trip; measured: {lengths}. The
instance's id comes from the firmware or, for those who do not look there, from a metadata service without delay; the keys come
from a file; all trust the system's authorities, the bench's own among them. Each of the {figures["moto"]} pairs of a subject and an action
made the same calls against moto, which then named the right owner.

### Wall time over HTTPS, in ms, by round trip

{walls(https, costs, SUBJECTS)}

### Above the limit, in ms

What elastic-ip takes longer than the limit, median less median, over HTTPS and (plain HTTP).

{above(https, http)}

### What was aimed at

{goals(figures, https + http)}

Where this node has asked for the address since its boot, as Heartbeat does before each start, and where the configuration names the
allocation id, a start is one request, and so is the stop of what this node has: they act on what EC2 has said before. A start or a
stop that knows nothing asks first.

### Wall time over plain HTTP, in ms, by round trip

{walls(http, costs, (LIMIT, OURS))}

### What it costs the machine

One call over HTTPS without delay: CPU is the median; memory is that of the largest process.

{machine_costs(https[0], costs)}
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def walls(settings: list[dict], costs: dict, subjects) -> str:
    rows = []
    for action in ACTIONS:
        trips = costs[OURS][action]["connections"] * (2 if settings[0]["scheme"] == "https" else 1) + len(costs[OURS][action]["calls"])
        rows.append([f"**{action}**", f"*{trips} round trips*", *(f"{trips * one['rtt']:g}" for one in settings)])
        for subject in subjects:
            walls = [one["times"][subject][action]["wall"] for one in settings]
            rows.append(["", subject, *(f"{digits(wall['median'])} ({digits(wall['p10'])} to {digits(wall['p90'])})" for wall in walls)])
    return table(["", "", *(f"{one['rtt']:g} ms" for one in settings)], rows)


def digits(ms: float) -> str:
    return f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"


def over(setting: dict, action: str) -> float:
    return setting["times"][OURS][action]["wall"]["median"] - setting["times"][LIMIT][action]["wall"]["median"]


def above(https: list[dict], http: list[dict]) -> str:
    return table(["", *(f"{one['rtt']:g} ms" for one in https)],
                 [[action, *(f"{over(one, action):.1f} ({over(plain, action):.1f})" for one, plain in zip(https, http))] for action in ACTIONS])


def goals(figures: dict, settings: list[dict]) -> str:
    def worst(*actions: str) -> float:
        return max(over(one, action) for one in settings for action in actions)
    start, mine, first_start, stop, first_stop, status = ACTIONS
    close = [one for one in settings if one["scheme"] == "https" and one["rtt"] == 20]
    ours, subjects = figures["costs"][OURS], figures["subjects"]
    cpu = max(one["times"][OURS][status]["cpu"]["median"] for one in settings)
    aims = [
        ("status above the limit, at the worst round trip", worst(status), 5, "ms"),
        ("start of a known address above the limit, at 20 ms", max(over(one, start) for one in close), 5, "ms"),
        ("start and stop above the limit, at the worst round trip", worst(start, mine, first_start, stop, first_stop), 8, "ms"),
        ("status, CPU, at the worst round trip", cpu, 8, "ms"),
        ("peak memory", max(cost["peak"] for cost in ours.values()), 10, "MiB"),
        ("EC2 requests of a start that has the allocation id", len(ours[start]["calls"]), 1, ""),
        ("connections to EC2", max(cost["connections"] for cost in ours.values()), 1, ""),
        ("the program", subjects["program"] / 1e6, 3, "MB"),
        ("the package", subjects["package"] / 1e6, 1.2, "MB"),
    ]
    return table(["", "at most", "measured", ""], [[what, f"{most} {unit}".strip(), f"{found:.3g} {unit}".strip(), "yes" if found <= most else "**no**"]
                                                   for what, found, most, unit in aims])


def machine_costs(setting: dict, costs: dict) -> str:
    rows = []
    for action in ACTIONS:
        for subject in SUBJECTS:
            cost = costs[subject][action]
            rows.append([f"**{action}**" if subject == LIMIT else "", subject, digits(setting["times"][subject][action]["cpu"]["median"]),
                         f"{cost['peak']:.1f}", *map(str, (cost["processes"], len(cost["calls"]), cost["connections"], cost["metadata"]))])
    return table(["", "", "CPU, ms", "peak memory, MiB", "processes started", "EC2 requests", "EC2 connections", "metadata requests"], rows)


def summaries(figures: dict) -> dict[str, str]:
    """For the README."""
    setting = next(one for one in figures["settings"] if one["scheme"] == "https" and one["rtt"] == 20)

    def times_as_long(subjects, action: str) -> str:
        walls = {subject: setting["times"][subject][action]["wall"]["median"] for subject in (OURS, *subjects)}
        return f"{min(walls[subject] for subject in subjects) / walls[OURS]:.0f} ×"
    rows = [[action, f"{setting['times'][OURS][action]['wall']['median']:.0f} ms", f"{round(over(setting, action))} ms",
             times_as_long(AWSEIP, action), times_as_long(ARTICLE, action)] for action in ACTIONS]
    head = ["20 ms to EC2, HTTPS", "elastic-ip takes", "above the limit of the wire", "`awseip` takes", "the article's script takes"]
    return {"calls": f"""{table(head, rows)}

The others are with the faster of two AWS CLIs; {API_DELAY} s of `awseip`'s start and stop are a pause that it makes by default. How this was measured, plots, and what a call costs the machine: [docs/performance.md](docs/performance.md).
"""}


def plot(figures: dict, path: Path):
    from matplotlib.figure import Figure
    https = [one for one in figures["settings"] if one["scheme"] == "https"]
    colours = dict(zip(SUBJECTS, ("#888888", "#d62728", "#1f77b4", "#7fb2dd", "#2ca02c", "#98d894")))
    figure = Figure(figsize=(14, 7.2))
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for panel, action in zip(panels.flat, ACTIONS):
        for subject in SUBJECTS:
            walls = [one["times"][subject][action]["wall"] for one in https]
            medians = [wall["median"] for wall in walls]
            spreads = [[wall["median"] - wall["p10"] for wall in walls], [wall["p90"] - wall["median"] for wall in walls]]
            panel.errorbar(range(len(https)), medians, yerr=spreads, label=subject, color=colours[subject], marker="o", markersize=4,
                           capsize=3, linestyle="--" if subject == LIMIT else "-", linewidth=2 if subject == OURS else 1.2)
        panel.set_title(action)
        panel.set_yscale("log")
        panel.set_yticks([1, 10, 100, 1000, 10000], ["1 ms", "10 ms", "0.1 s", "1 s", "10 s"])
        panel.set_xticks(range(len(https)), [f"{one['rtt']:g} ms" for one in https])
        panel.grid(axis="y", alpha=0.3)
    for panel in panels[1]:
        panel.set_xlabel("round trip to EC2")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(path, metadata={"Date": None})


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
