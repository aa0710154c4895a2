"""One machine of the cluster, in namespaces of its own: booted, worked on, and killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from base import REBOOT_LOG

HERE = Path(__file__).resolve().parent
METADATA = HERE.parent / "metadata" / "metadata.py"
HEARTBEAT = "/usr/libexec/heartbeat/heartbeat"
GUARD = "/usr/libexec/elastic-ip/follow-heartbeat"
# What systemd gives heartbeat.service, and no more than that.
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
# Heartbeat's own message, garbled at a cold start (Debian 3.0.6): it then never calls the
# resource script, whichever that is.
GARBLED = "NV failure (msgfromsteam)"
# What one of its scripts told it, garbled: it goes on, or waits for ever for what it has been told.
MIXED = "msg2string: Message with zero fields"
# Seconds after which it waits for ever. The chaos, which sees to that by itself, does so sooner.
WAITS_FOR_EVER = 20


@dataclass(frozen=True)
class Status:
    """What `/etc/init.d/elastic-ip status` printed and returned."""
    stdout: str
    code: int

    @property
    def word(self) -> str:
        """By which Heartbeat goes."""
        return self.stdout.rstrip("\n").rpartition("\n")[2]


class Node:
    """`links` maps each interface's name to the bridge it is plugged into and its address."""

    def __init__(self, name: str, tag: str, place: Path, lower: Path, links: dict[str, tuple[str, str]]):
        self.name = name
        self.place = place
        self.lower = lower
        self.network = f"{tag}-{name}"
        self.plugs = {}
        self.machine = None
        self.init = None
        self.heartbeat = None
        self.metadata = None
        self.daemons: dict[str, subprocess.Popen] = {}
        self.started_at = 0
        self.booted_at = 0.0
        self.mixed_at: float | None = None
        for directory in ("upper", "work", "root"):
            (place / directory).mkdir(parents=True)
        run("ip", "netns", "add", self.network)
        run("ip", "-n", self.network, "link", "set", "lo", "up")
        for interface, (bridge, address) in links.items():
            plug = f"{tag}{name[-1]}{interface}"
            run("ip", "link", "add", "name", plug, "type", "veth",
                "peer", "name", interface, "netns", self.network)
            run("ip", "link", "set", plug, "master", bridge)
            run("ip", "-n", self.network, "address", "add", address, "dev", interface)
            run("ip", "-n", self.network, "link", "set", interface, "up")
            self.plugs[interface] = plug

    # The machine

    def serve_metadata(self, instance: dict):
        """Belongs to the cloud, not to the machine: it lives on while the machine is dead."""
        run("ip", "-n", self.network, "address", "add", "169.254.169.254/32", "dev", "lo")
        with open(self.place / "metadata.log", "wb") as log:
            self.metadata = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.network}", sys.executable, METADATA,
                 "169.254.169.254", "80", json.dumps(instance)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)
        wait_until(lambda: b" * Running on" in (self.place / "metadata.log").read_bytes(),
                   20, "the metadata service")

    def boot(self):
        self.booted_at = time.monotonic()
        for interface, plug in self.plugs.items():
            run("ip", "link", "set", plug, "up")
            run("ip", "-n", self.network, "link", "set", interface, "up")
        with open(self.place / "boot.log", "ab") as log:
            self.machine = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.network}",
                 "unshare", "--mount", "--propagation", "private", "--uts", "--ipc", "--pid",
                 "--fork", "--kill-child", HERE / "boot", self.place, self.lower, self.name],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)

        def up():
            if self.machine.poll() is not None:
                raise RuntimeError((self.place / "boot.log").read_text())
            children = Path(f"/proc/{self.machine.pid}/task/{self.machine.pid}/children").read_text().split()
            if not children:
                return False
            self.init = int(children[0])
            # Looked up in the node's root only once it has one of its own.
            return "tini" in self.command_of(self.init) and self.file("dev/log").is_socket()
        wait_until(up, 20, f"{self.name} to boot")
        self.run("nft", "flush", "ruleset")

    def is_up(self) -> bool:
        return self.machine is not None and self.machine.poll() is None

    def kill(self):
        """The power goes: nothing is told, nothing answers, /run and /tmp are lost."""
        for plug in self.plugs.values():
            run("ip", "link", "set", plug, "down")
        if self.is_up():
            os.kill(self.init, signal.SIGKILL)
            self.machine.wait()
        if self.heartbeat is not None:
            self.heartbeat.wait()
        for daemon in self.daemons.values():
            daemon.wait()
        # The network namespace outlives the machine. What a dead machine loses must not: packets
        # it had not sent yet; and, at its boot, its filter.
        for interface in self.plugs:
            run("ip", "-n", self.network, "link", "set", interface, "down")
        self.machine = self.init = self.heartbeat = None
        self.daemons = {}

    def close(self):
        if self.is_up():
            self.kill()
        if self.metadata is not None:
            self.metadata.kill()
            self.metadata.wait()
        for plug in self.plugs.values():
            run("ip", "link", "delete", plug)
        run("ip", "netns", "delete", self.network)

    # Its files

    def file(self, path: str) -> Path:
        return Path(f"/proc/{self.init}/root") / path

    def write(self, path: str, text: str, mode: int = 0o644):
        # Renamed into place: no daemon ever reads half a file, and no link is followed.
        new = self.file(path + ".new")
        new.write_text(text)
        new.chmod(mode)
        new.rename(self.file(path))

    def log(self) -> list[str]:
        """Its syslog, `Mon DD HH:MM:SS host facility.level ident: text`, since it was first booted."""
        syslog = self.place / "upper/var/log/syslog"
        return syslog.read_text(errors="replace").splitlines() if syslog.exists() else []

    def reboots(self) -> list[str]:
        """The calls of reboot and its kin. A call that got round the stubs would end the node."""
        log = self.place / "upper" / REBOOT_LOG
        return log.read_text().splitlines() if log.exists() else []

    # Its commands

    def command(self, *arguments: str) -> list[str]:
        return ["nsenter", f"--target={self.init}", "--mount", "--uts", "--ipc", "--net", "--pid",
                "--root", "--wd", "setpriv",
                "--bounding-set=-sys_boot,-sys_module,-sys_rawio,-sys_time",
                "env", "-i", *(f"{name}={value}" for name, value in ENVIRONMENT.items()), *arguments]

    def run(self, *arguments: str, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(self.command(*arguments), stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=timeout, start_new_session=True)
        if check and done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(arguments)} returned {done.returncode}:\n"
                               f"{done.stdout}{done.stderr}")
        return done

    def status(self, *addresses: str) -> Status:
        """Of those addresses, or of those that are configured."""
        done = self.run("/etc/init.d/elastic-ip", *addresses, "status", check=False)
        return Status(done.stdout, done.returncode)

    # Its daemons

    def start_daemon(self, *command: str):
        """Runs a program that stays in the foreground, as its systemd unit does."""
        program = command[0]
        assert not self.processes_of(program), f"{program} is running"
        self.started_at = len(self.log())
        with open(self.place / "daemons.log", "ab") as log:
            self.daemons[program] = subprocess.Popen(
                self.command(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)

    def stop_daemon(self, program: str):
        """SIGTERM to its first process, as systemd stops it. Returns when all of it has ended."""
        os.kill(min(self.processes_of(program)), signal.SIGTERM)
        self.daemons.pop(program).wait(60)
        wait_until(lambda: not self.processes_of(program), 30, f"{program} to end on {self.name}")

    def kill_daemon(self, program: str):
        """kill -9 for all of its processes at once."""
        for pid in self.processes_of(program):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.daemons.pop(program).wait(30)

    def processes_of(self, program: str) -> list[int]:
        """The pids, in this process's view, of what runs that program in the node."""
        return [pid for pid, running, _ in self.processes() if running == program]

    # Heartbeat

    def start_heartbeat(self):
        """As heartbeat.service does it."""
        assert not self.heartbeat_processes(), "heartbeat is running"
        self.started_at = len(self.log())
        with open(self.place / "heartbeat.log", "ab") as log:
            self.heartbeat = subprocess.Popen(
                self.command(HEARTBEAT, "-f"), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True)

    def stop_heartbeat(self):
        """As heartbeat.service does it: returns when the resources are given up."""
        self.run(HEARTBEAT, "-k", timeout=120)
        self.heartbeat.wait(60)

        def ended() -> bool:
            # The standby that comes 30 s after a failed start would wait for ever for a Heartbeat to hear it.
            for pid, _, command in self.processes():
                if "/heartbeat/hb_standby" in command:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            return not self.heartbeat_processes()
        wait_until(ended, 40, f"heartbeat to end on {self.name}")

    def kill_heartbeat(self):
        """kill -9 for all of it at once, the processes that would notice and reboot included."""
        def killed():
            processes = self.heartbeat_processes()
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not processes
        wait_until(killed, 30, f"heartbeat to end on {self.name}", step=0)
        if self.heartbeat is not None:
            self.heartbeat.wait(30)

    def pause_heartbeat(self) -> list[int]:
        """SIGSTOP for all of it. Returns what `resume_heartbeat` wants."""
        paused = self.heartbeat_processes()
        for pid in paused:
            os.kill(pid, signal.SIGSTOP)
        # nsenter stops itself when its child is stopped: going on before that, it would do so later.
        # A Heartbeat that has restarted itself is nobody's child any more.
        if self.heartbeat.poll() is None:
            wait_until(lambda: state_of(self.heartbeat.pid) == "T", 10, "heartbeat to be paused", step=0.01)
            paused.append(self.heartbeat.pid)
        return paused

    def resume_heartbeat(self, paused: list[int]):
        for pid in paused:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def heartbeat_processes(self) -> list[int]:
        """The pids, in this process's view, of what runs from Heartbeat's folders in the node."""
        # Heartbeat's daemons rename themselves (`heartbeat: master control process`); its shell
        # scripts keep their path.
        return [pid for pid, program, command in self.processes()
                if "heartbeat" in program or "/heartbeat/" in command or "/etc/ha.d/" in command]

    def guard_processes(self) -> list[int]:
        """The pids, in this process's view, of what runs follow-heartbeat."""
        return [pid for pid, _, command in self.processes() if GUARD in command]

    def agent_processes(self) -> list[int]:
        """The pids, in this process's view, of the calls of elastic-ip that are at work."""
        return [pid for pid, program, _ in self.processes() if program.endswith("/sbin/elastic-ip")]

    def processes(self) -> list[tuple[int, str, str]]:
        """(pid in this process's view, program, command line) of each process of the node."""
        if not self.is_up():
            return []
        machine = os.readlink(f"/proc/{self.init}/ns/pid")
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if os.readlink(entry / "ns/pid") == machine:
                    pid = int(entry.name)
                    found.append((pid, os.readlink(entry / "exe"), self.command_of(pid)))
        return found

    def moves_resources(self) -> bool:
        """Whether one of Heartbeat's scripts is at work."""
        return any(folder in self.command_of(pid) for pid in self.heartbeat_processes()
                   for folder in ("/usr/share/heartbeat/", "/etc/ha.d/"))

    def is_garbled(self) -> bool:
        lines = self.log()[self.started_at:]
        if not any(MIXED in line for line in lines):
            self.mixed_at = None
        elif self.mixed_at is None:
            self.mixed_at = time.monotonic()
        waits = self.mixed_at is not None and time.monotonic() > self.mixed_at + WAITS_FOR_EVER \
            and self.run("cl_status", "rscstatus", check=False).stdout.strip() == "transition"
        return waits or any(GARBLED in line for line in lines)

    def hear_nobody(self):
        """Drops the peer's packets, Heartbeat's, Corosync's and keepalived's, as they arrive: a filter
        on their way out would be an error to the sender, which a broken network is not."""
        self.run("nft", """
            table inet split {
                chain in { type filter hook input priority 0; udp dport { 694, 5405 } drop; ip protocol 112 drop; }
            }""")

    def hear_again(self):
        self.run("nft", "delete table inet split")

    def lose_packets(self, percent: int):
        """Drops that share of heartbeat's packets as they arrive."""
        self.run("nft", f"""
            table inet lossy {{
                chain in {{
                    type filter hook input priority 0;
                    udp dport 694 numgen random mod 100 < {percent} drop;
                }}
            }}""")

    def lose_no_packets(self):
        self.run("nft", "delete table inet lossy")

    def congest(self, kilobits: int, queue: int):
        """Heartbeat's link brings no more than that a second, so what arrives has stood in a queue
        of so many bytes, and some never does. (netem is not in the kernels of small machines.)"""
        run("tc", "qdisc", "add", "dev", self.plugs["eth0"], "root", "tbf",
            "rate", f"{kilobits}kbit", "burst", "1600", "limit", str(queue))

    def decongest(self):
        run("tc", "qdisc", "delete", "dev", self.plugs["eth0"], "root")

    def refuse_connections(self, host: str, port: int):
        """Answers for that server as a machine on which nothing listens."""
        self.run("nft", f"""
            table inet refused {{
                chain out {{
                    type filter hook output priority 0;
                    ip daddr {host} tcp dport {port} reject with tcp reset;
                }}
            }}""")

    def refuse_no_connections(self):
        self.run("nft", "delete table inet refused")

    @staticmethod
    def command_of(pid: int) -> str:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return command.replace(b"\0", b" ").decode(errors="replace")


def state_of(pid: int) -> str:
    """As proc(5) has it: `T` is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def run(*command: str):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def wait_until(condition, seconds: float, what: str, step: float = 0.1):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain for {what}")
        time.sleep(step)
