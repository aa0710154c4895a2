"""The nodes' disks before their first boot: a Debian of its own with every cluster manager in it.

mmdebstrap makes it once for each release and keeps it as a tar file, so that neither Heartbeat nor anything
else of the bench is ever installed on the machine itself, and the nodes are the same on any machine.
RELEASE in the environment chooses. Run as a program it makes what is missing; it needs root and the network only then.
"""

import fcntl
import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STORE = REPOSITORY / "target" / "cluster"
RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
# The machine's own, for which the package is built, or the oldest.
OWN = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
RELEASE = os.environ.get("RELEASE") or (OWN if OWN in RELEASES else "bookworm")
LOGS = STORE / "logs" / RELEASE
MANAGERS = ("heartbeat", "pacemaker", "corosync", "keepalived", "pcs", "crmsh", "monit")
PACKAGES = (*MANAGERS, "busybox", "ca-certificates", "cluster-glue", "curl", "iproute2", "libxml2-utils", "nftables", "nginx-light",
            "pacemaker-cli-utils", "patch", "procps", "systemd", "tini")

# Every program by which Heartbeat, an init script or an administrator would reboot a machine.
REBOOTING = ("halt", "init", "poweroff", "reboot", "shutdown", "telinit")
REBOOT_LOG = "var/log/reboots"
# What stands there is often a link to /bin/systemctl: it is replaced, never written through. And what Debian's
# installer sets.
FINISH = rf"""
echo LANG=C.UTF-8 >"$1/etc/default/locale"
cd "$1/sbin"
for name in {' '.join(REBOOTING)}; do
    rm -f "$name"
    printf '#!/bin/sh\nprintf "%%s %%s\\n" "$0" "$*" >>/{REBOOT_LOG}\n' >"$name"
    chmod 755 "$name"
done
"""
# Debian's own archive, with the release's updates.
MAKE = ("mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}", "--dpkgopt=force-unsafe-io",
        f"--customize-hook={FINISH}", RELEASE)


def main():
    if RELEASE not in RELEASES:
        sys.exit(f"tests/cluster/base.py: RELEASE={RELEASE} is not known: use {' or '.join(RELEASES)}")
    if os.geteuid() != 0:
        sys.exit("tests/cluster/base.py: needs root (mmdebstrap makes a system for root)")
    STORE.mkdir(parents=True, exist_ok=True)
    with open(STORE / "base.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path().exists():
            return
        print(f"tests/cluster/base.py: making the nodes' {RELEASES[RELEASE]}, with the cluster managers", file=sys.stderr)
        make(path())
        for other in STORE.glob(f"base-{RELEASE}-*.tar"):
            if other != path():
                other.unlink()


def path() -> Path:
    """Where it is: its name changes with how it is made."""
    recipe = hashlib.sha256(repr(MAKE).encode())
    return STORE / f"base-{RELEASE}-{recipe.hexdigest()[:16]}.tar"


def make(where: Path):
    unfinished = where.with_suffix(".unfinished")
    with open(STORE / f"base-{RELEASE}.log", "wb") as log:
        done = subprocess.run([*MAKE, unfinished], env=os.environ | {"LC_ALL": "C"},
                              stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        unfinished.unlink(missing_ok=True)
        sys.exit(f"tests/cluster/base.py: mmdebstrap could not make the nodes' {RELEASES[RELEASE]}: see {log.name}")
    unfinished.rename(where)


def unpack(where: Path, *parts: str):
    """All of it, or those parts, below `where`, which is made."""
    where.mkdir(exist_ok=True)
    subprocess.run(["tar", "--extract", "--xattrs", "--xattrs-include=*", "--directory", where,
                    "--file", path(), *(f"./{part}" for part in parts)], check=True)


if __name__ == "__main__":
    main()
