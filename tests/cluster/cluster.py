"""Two nodes with the installed package, Heartbeat between them and EC2 before them."""

import contextlib
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import base
import ec2
from node import GARBLED, GUARD, MIXED, Node, Status, run, wait_until

MOUNT = base.STORE / "mnt"
ADDRESS = "203.0.113.25"
MINE = Status(f"elastic-ip remapper: I have {ADDRESS}\nrunning\n", 0)
NOT_MINE = Status(f"elastic-ip remapper: I do not have {ADDRESS}\nstopped\n", 3)
UNKNOWN = Status("unknown\n", 4)
# After a stop that left the address for the peer: EC2's truth, and this node's.
HANDED_OVER = Status(f"elastic-ip remapper: I have {ADDRESS}\nstopped\n", 3)
# For a minute after its start, where the address went elsewhere without a stop: what EC2 shows then
# might as well be older than the start.
LOST = UNKNOWN
# So it says why, as an error.
UNSURE = "cannot tell who has it"
COMPLAINT = re.compile(r" \w+\.(emerg|alert|crit|err) |CRIT|ERROR")
KNOWN_COMPLAINTS = (
    # systemd's own limit of 8 MiB, with which any stock Debian runs it.
    "Cannot lock ourselves into memory:  System limits on locked-in memory are too small.",
    # Started again where it happens: see restart_where_garbled.
    GARBLED, MIXED,
    # The guard's question to a Heartbeat that has just ended, and is about to take the guard with it.
    "Cannot signon with heartbeat", "hb_api_signon: Can't initiate connection to heartbeat",
)
# Longer than Heartbeat takes from one of its scripts to the next.
REST = 0.5
# Heartbeat garbles 2 of 7 cold starts: five in a row would be something else.
MOST_GARBLED_STARTS = 5


@dataclass(frozen=True)
class Timing:
    """Seconds, as ha.cf wants them. Left out, initdead is Heartbeat's default."""
    keepalive: str
    deadtime: str
    more: str = ""


ARTICLE = Timing("1", "10")
# Where only the sequence matters.
QUICK = Timing("200ms", "2", "warntime 1\ninitdead 4\n")


@dataclass(frozen=True)
class Lateness:
    """How many seconds ago was so what EC2 shows to the nodes; with replicas, in every other answer."""
    seconds: float = 0
    replicas: bool = False

    def __str__(self) -> str:
        return f"late-{self.seconds:g}s{'-every-other-time' if self.replicas else ''}"


@dataclass
class Configuration:
    timing: Timing = QUICK
    auto_failback: str = "on"
    haresources: str = "server1 elastic-ip"
    # Whether Heartbeat runs follow-heartbeat.
    guard: bool = False
    # Whether a Heartbeat that has garbled its start is started again.
    restarts_garbled: bool = True
    defaults: dict[str, str] = field(default_factory=dict)
    lateness: Lateness = Lateness()


class Cluster:
    def __init__(self, package: Path, number: int = 0):
        """`number` keeps clusters apart that share a sandbox."""
        self.package = package
        self.place = MOUNT / str(number)
        self.tag = f"c{number}"
        self.nodes: dict[str, Node] = {}
        self.garbled = 0
        self.restarts_garbled = True
        self.closing = contextlib.ExitStack()
        try:
            self.build(number)
        except BaseException:
            self.close()
            raise

    def build(self, number: int):
        self.place.mkdir(parents=True)
        layer = MOUNT / f"base-{number}"
        base.unpack(layer)
        bridges = {"eth0": f"{self.tag}hb", "eth1": f"{self.tag}inet"}
        for bridge in bridges.values():
            run("ip", "link", "add", "name", bridge, "type", "bridge", "forward_delay", "0")
            self.closing.callback(run, "ip", "link", "delete", bridge)
            run("ip", "link", "set", bridge, "up")
        internet = f"198.18.{number}"
        run("ip", "address", "add", f"{internet}.1/24", "dev", bridges["eth1"])
        self.ec2 = ec2.Ec2(f"{internet}.1", ADDRESS, self.place)
        self.closing.callback(self.ec2.close)

        self.private = {"server1": f"10.1.{number}.11", "server2": f"10.1.{number}.12"}
        self.public = {"server1": f"{internet}.11", "server2": f"{internet}.12"}
        self.instances = {}
        for name, instance in zip(self.private, self.ec2.instances):
            node = Node(name, self.tag, self.place / name, layer, {
                "eth0": (bridges["eth0"], f"{self.private[name]}/24"),
                "eth1": (bridges["eth1"], f"{self.public[name]}/24"),
            })
            self.nodes[name] = node
            self.closing.callback(node.close)
            self.instances[name] = instance["InstanceId"]
            primary = instance["NetworkInterfaces"][0]
            node.serve_metadata({
                "instance_id": instance["InstanceId"],
                "region": ec2.REGION,
                "role": "elastic-ip",
                "credentials": {
                    "access_key_id": ec2.ACCESS_KEY_ID,
                    "secret_access_key": ec2.SECRET_ACCESS_KEY,
                    "session_token": ec2.SECRET_ACCESS_KEY,
                },
                "interfaces": [{
                    "mac": primary["MacAddress"],
                    "interface_id": primary["NetworkInterfaceId"],
                    "device_number": 0,
                    "private_ip": self.private[name],
                }],
            })
            node.boot()
            self.install(node)
        assert not self.calls_of_nodes(), "installing the package called EC2"

    def software(self) -> dict[str, str]:
        """The version of what the nodes have installed, as they say: the release, the managers and systemd."""
        node = self.nodes["server1"]
        release = node.run("sh", "-c", '. /etc/os-release; echo "Debian $(cat /etc/debian_version) ($VERSION_CODENAME)"').stdout.strip()
        asked = node.run("dpkg-query", "--show", "--showformat", "${Package} ${Version}\\n", *base.MANAGERS, "systemd", "elastic-ip").stdout
        return {"release": release} | dict(line.split() for line in asked.splitlines())

    def introduce(self) -> str:
        """A line on what the nodes are, for the head of a run."""
        release, *versions = self.software().items()
        return f"nodes: {release[1]} with {', '.join(' '.join(named) for named in versions)}"

    def install(self, node: Node):
        """Installs the package, or installs it again as an upgrade does."""
        shutil.copyfile(self.package, node.file("tmp/elastic-ip.deb"))
        node.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "--no-install-recommends",
                 "-o", "DPkg::Options::=--force-unsafe-io", "-o", "DPkg::Options::=--force-confold",
                 "install", "--reinstall", "/tmp/elastic-ip.deb", timeout=120)

    def configure(self, configuration: Configuration):
        """The article's three files and the package's one, the same on both nodes."""
        timing = configuration.timing
        defaults = {
            "ELASTIC_IP": ADDRESS,
            "AWS_PARAMS": '"--region=eu-west-1"',
            "AWS_ENDPOINT_URL_EC2": self.ec2.endpoint,
            "ALLOW_PLAIN_HTTP": "yes",
        } | configuration.defaults
        files = {
            "etc/ha.d/authkeys": "auth 1\n1 sha1 foobarbaz\n",
            "etc/ha.d/ha.cf": (
                "logfacility daemon\n"
                "node server1 server2\n"
                f"keepalive {timing.keepalive}\n"
                f"deadtime {timing.deadtime}\n"
                f"{timing.more}"
                + "".join(f"ucast eth0 {address}\n" for address in self.private.values())
                + f"auto_failback {configuration.auto_failback}\n"
                + (f"respawn root {GUARD}\n" if configuration.guard else "")),
            "etc/ha.d/haresources": configuration.haresources + "\n",
            "etc/default/elastic-ip": "".join(f"{name}={value}\n" for name, value in defaults.items()),
            "root/.awssecret": f"{ec2.ACCESS_KEY_ID}\n{ec2.SECRET_ACCESS_KEY}\n",
        }
        secret = ("etc/ha.d/authkeys", "root/.awssecret")
        for node in self.nodes.values():
            for path, text in files.items():
                node.write(path, text, 0o600 if path in secret else 0o644)

    def reset(self, configuration: Configuration):
        """Both nodes freshly booted, Heartbeat stopped, the address nobody's, and EC2 without fault."""
        for node in self.nodes.values():
            node.kill()
        self.ec2.be_faulty()
        self.ec2.disassociate()
        self.ec2.be_late(configuration.lateness.seconds, configuration.lateness.replicas)
        for node in self.nodes.values():
            for log in ("syslog", "reboots"):
                (node.place / "upper/var/log" / log).unlink(missing_ok=True)
            node.started_at = 0
            node.boot()
        self.configure(configuration)
        self.garbled = 0
        self.restarts_garbled = configuration.restarts_garbled

    def start(self, *names: str):
        """Starts Heartbeat, on both nodes unless some are named."""
        for name in names or self.nodes:
            self.nodes[name].start_heartbeat()

    # What is so

    def owner(self) -> str | None:
        """The name of the node that the address points to."""
        return self.name_of(self.ec2.owner())

    def name_of(self, instance: str | None) -> str | None:
        return next((name for name, own in self.instances.items() if own == instance), instance)

    def peer(self, name: str) -> str:
        return next(other for other in self.nodes if other != name)

    def restart_where_garbled(self):
        """Starts Heartbeat again where it garbled its own start."""
        for node in self.nodes.values():
            if self.restarts_garbled and node.is_up() and node.is_garbled():
                self.garbled += 1
                assert self.garbled <= MOST_GARBLED_STARTS, "heartbeat garbles every start"
                print(f"heartbeat garbled its start on {node.name}: starting it again", flush=True)
                node.kill_heartbeat()
                node.start_heartbeat()

    def wait_for(self, condition, seconds: float, what: str):
        def so():
            self.restart_where_garbled()
            return condition()
        wait_until(so, seconds, what)

    def wait_for_owner(self, name: str, seconds: float = 60):
        self.wait_for(lambda: self.owner() == name, seconds, f"{name} to have the address")

    def wait_for_log(self, name: str, text: str, seconds: float = 60):
        """Waits for Heartbeat to say `text`, since it was last started there."""
        node = self.nodes[name]
        self.wait_for(lambda: any(text in line for line in node.log()[node.started_at:]),
                      seconds, f"{name} to log {text!r}")

    def wait_for_members(self, seconds: float = 60):
        """Both Heartbeats have heard each other and have stopped moving resources."""
        def settled(node: Node) -> bool:
            resources = node.run("cl_status", "rscstatus", check=False).stdout.strip()
            peer = node.run("cl_status", "nodestatus", self.peer(node.name), check=False).stdout.strip()
            return resources in ("none", "local", "foreign", "all") and peer == "active"
        self.wait_for(lambda: all(map(settled, self.nodes.values())), seconds, "the nodes to be settled")
        self.wait_for_rest(seconds)

    def wait_for_rest(self, seconds: float = 60):
        """No node is moving a resource. Heartbeat does so by one script after another, with
        messages to itself between them: they must have been gone for a while."""
        last = time.monotonic()

        def at_rest() -> bool:
            nonlocal last
            if any(node.moves_resources() for node in self.nodes.values()):
                last = time.monotonic()
            return time.monotonic() - last > REST
        self.wait_for(at_rest, seconds, "the resources to rest")

    def wait_until_shown(self):
        """Until EC2 shows to the nodes what is so. One that boots knows nothing by itself, and believes it."""
        self.wait_for(self.ec2.shows_what_is_so, 30, "EC2 to show what is so")

    def wait_for_held_by(self, name: str, peer: Status = NOT_MINE, addresses: tuple[str, ...] = ()):
        """EC2 knows it, and both nodes' status comes to say so, byte for byte. Until EC2 shows it to them
        they may say that they cannot tell, or name the address as EC2 does, but never claim the contrary."""
        settled = {name: MINE, self.peer(name): peer}

        def so() -> bool:
            told = {asked: self.nodes[asked].status(*addresses) for asked in settled}
            for asked, status in told.items():
                contrary = NOT_MINE if settled[asked] == MINE else MINE
                assert status.word != contrary.word, f"{asked} claims the contrary: {status}"
            return told == settled
        assert self.owner() == name
        self.wait_for(so, 30, f"status to settle: {settled}")
        # Asking is never a way to change something.
        assert self.owner() == name

    def assert_held_by(self, name: str, peer: Status = NOT_MINE):
        """EC2 says so, and so does status on both nodes, byte for byte."""
        self.assert_statuses(name, {name: MINE, self.peer(name): peer})

    def assert_statuses(self, owner: str | None, statuses: dict[str, Status]):
        assert self.owner() == owner
        assert {name: self.nodes[name].status() for name in statuses} == statuses
        # Asking is never a way to change something.
        assert self.owner() == owner

    def complaints(self) -> list[str]:
        """What the nodes logged as an error or worse, but for what is so on any stock Debian."""
        return [f"{line}" for node in self.nodes.values() for line in node.log()
                if COMPLAINT.search(line) and not any(known in line for known in KNOWN_COMPLAINTS)]

    def calls_of_nodes(self, since: float = 0) -> list[tuple[str, str]]:
        """(node, action) of each call by a node, but for those of `check`, which are only asked whether they might be made."""
        names = {address: name for name, address in self.public.items()}
        return [(names[call.source], call.action) for call in self.ec2.calls(since)
                if call.source in names and call.call.get("DryRun") != "true"]

    def mutations(self, since: float = 0) -> list[tuple[str, str]]:
        """Those that changed something, or tried to."""
        return [(name, action) for name, action in self.calls_of_nodes(since)
                if not action.startswith("Describe")]

    def moves(self, since: float = 0) -> list[str | None]:
        """Who came to have the address, in turn, by whatever calls."""
        calls = sorted(self.ec2.calls(since), key=lambda call: call.time)
        return [self.name_of(call.after[ADDRESS]) for call in calls if call.before != call.after]

    def close(self):
        self.closing.close()

    def keep_logs(self, where: Path):
        """Copies what a person needs to find out what went wrong."""
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        for name in ("ec2-calls", "moto.log"):
            shutil.copyfile(self.place / name, where / name)
        for node in self.nodes.values():
            for name in ("heartbeat.log", "daemons.log", "boot.log", "metadata.log"):
                if (node.place / name).exists():
                    shutil.copyfile(node.place / name, where / f"{node.name}-{name}")
            (where / f"{node.name}-syslog").write_text("\n".join(node.log()) + "\n")


def package() -> Path:
    """The package to install: the one `make deb` left, or ELASTIC_IP_DEB's."""
    if named := os.environ.get("ELASTIC_IP_DEB"):
        return Path(named)
    built = sorted((base.REPOSITORY / "target" / "deb").glob("elastic-ip_*.deb"), key=os.path.getmtime)
    if not built:
        raise SystemExit("tests/cluster: target/deb holds no package: run `make deb`")
    return built[-1]
