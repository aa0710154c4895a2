"""The base layer: what both nodes have installed on top of this machine's own Debian.

It is built once, by apt inside a chroot over an overlay of `/`, and kept as a tar file, so that
neither Heartbeat nor anything else of the bench is ever installed on the machine itself. Run as
a program it builds what is missing; it needs root and the network only then.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STORE = REPOSITORY / "target" / "cluster"
PACKAGES = ("busybox", "ca-certificates", "cluster-glue", "corosync", "crmsh", "curl", "heartbeat", "keepalived", "libxml2-utils", "monit",
            "nftables", "nginx-light", "pacemaker", "pacemaker-cli-utils", "pcs", "systemd", "tini")

# Every program by which Heartbeat, an init script or an administrator would reboot a machine.
REBOOTING = ("halt", "init", "poweroff", "reboot", "shutdown", "telinit")
REBOOT_LOG = "var/log/reboots"
REBOOT_STUB = f"""#!/bin/sh
printf '%s %s\\n' "$0" "$*" >>/{REBOOT_LOG}
"""
# Nothing that apt installs here may start.
POLICY = "#!/bin/sh\nexit 101\n"


def main():
    if os.environ.get("BASE_BUILDING"):
        build(Path(sys.argv[1]))
        return
    if os.geteuid() != 0:
        sys.exit("tests/cluster/base.py: needs root (overlay mounts and chroot)")
    STORE.mkdir(parents=True, exist_ok=True)
    with open(STORE / "base.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        layer = path()
        if layer.exists():
            return
        print("tests/cluster/base.py: installing the cluster managers into the nodes' base layer", file=sys.stderr)
        subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "--uts", "--ipc", "--pid", "--fork",
             "--kill-child", "--mount-proc", sys.executable, __file__, str(layer)],
            env=os.environ | {"BASE_BUILDING": "1"}, check=True)
        for other in STORE.glob("base-*.tar"):
            if other != layer:
                other.unlink()


def path() -> Path:
    """Where the layer for this machine is: its name changes with the machine's packages, because
    the layer's dpkg database and upgraded files only fit the machine they were laid over."""
    recipe = hashlib.sha256()
    recipe.update(Path("/var/lib/dpkg/status").read_bytes())
    recipe.update(Path(__file__).read_bytes())
    return STORE / f"base-{recipe.hexdigest()[:16]}.tar"


def build(layer: Path):
    """Runs in namespaces of its own, so the mounts end with this process whatever happens."""
    place = STORE / "mnt"
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place], check=True)
    upper, work, root = place / "upper", place / "work", place / "root"
    for directory in (upper, work, root):
        directory.mkdir()
    # A node sees nothing of the machine's users: neither their secrets nor their files.
    for private in ("root", "home"):
        (upper / private).mkdir(mode=0o700 if private == "root" else 0o755)
        os.setxattr(upper / private, "trusted.overlay.opaque", b"y")
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir=/,upperdir={upper},workdir={work}", root], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    subprocess.run(["mount", "--bind", "/dev", root / "dev"], check=True)
    for volatile in ("run", "tmp"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / volatile], check=True)

    # /etc/resolv.conf is often a link into /run.
    resolver = root / "etc/resolv.conf"
    servers = Path("/etc/resolv.conf").read_bytes()
    resolver.unlink(missing_ok=True)
    resolver.write_bytes(servers)

    policy = root / "usr/sbin/policy-rc.d"
    write_program(policy, POLICY)
    apt = ["chroot", root, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300",
           "-o", "DPkg::Options::=--force-unsafe-io", "-o", "DPkg::Options::=--force-confnew"]
    install = apt + ["install", "--no-install-recommends", *PACKAGES]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    with open(STORE / "base.log", "wb") as log:
        def run(command):
            return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=subprocess.STDOUT).returncode
        if run(install) != 0 and (run(apt + ["update"]) != 0 or run(install) != 0):
            sys.exit(f"tests/cluster/base.py: apt could not install the cluster managers: see {log.name}")
    policy.unlink()
    for name in REBOOTING:
        write_program(root / "sbin" / name, REBOOT_STUB)

    unfinished = layer.with_suffix(".unfinished")
    for mounted in ("tmp", "run", "dev", "proc", ""):
        subprocess.run(["umount", root / mounted], check=True)
    subprocess.run(["tar", "--create", "--xattrs", "--xattrs-include=*", "--exclude=./var/cache/apt",
                    "--exclude=./var/lib/apt", "--directory", upper, "--file", unfinished, "."], check=True)
    unfinished.rename(layer)


def write_program(where: Path, text: str):
    # What stands there is often a link to /bin/systemctl: it is replaced, never written through.
    where.unlink(missing_ok=True)
    with open(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o755), "w") as program:
        program.write(text)


def unpack(where: Path):
    """Lays the layer out below `where`."""
    layer, = STORE.glob("base-*.tar")
    where.mkdir()
    subprocess.run(["tar", "--extract", "--xattrs", "--xattrs-include=*", "--directory", where,
                    "--file", layer], check=True)


if __name__ == "__main__":
    main()
