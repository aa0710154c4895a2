"""A throw-away Debian: a fresh system to install the package in, in namespaces of its own.

The base of each release is made once by mmdebstrap under target/package, with the packages that apt needs to
install the package's dependencies without a network. Each Root is an overlay over it that lives in memory
and goes away with the process that holds it, also when that is killed.
"""

import os
import pathlib
import shutil
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "target/package"

RELEASES = ["bookworm", "trixie"]
# Both kinds of init, so that what a maintainer script would say to either can be seen, and
# what loads completions; and what autopkgtest and debian/tests need. systemd without systemd-sysv, which makes it
# the init system, and which since Debian 13 keeps sysv-rc away.
INCLUDE = "apt-utils,bash-completion,dpkg-dev,libxml2-utils,python3,sysv-rc,systemd"

# What the kernel, and not the package manager, keeps there.
NOT_FILES = ["/dev", "/proc", "/sys"]
# What any installation and removal leaves: the package manager's own books.
PACKAGE_BOOKS = [
    "/var/cache/apt",
    "/var/cache/debconf",
    "/var/cache/ldconfig",
    "/var/lib/apt",
    "/var/lib/dpkg/available",
    "/var/lib/dpkg/lock",
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/status-old",
    "/var/lib/dpkg/triggers",
    "/var/log",
]

ENTER = """
set -eu
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount --rbind /dev "$2/root/dev"
mount -t proc proc "$2/root/proc"
mount -t tmpfs tmpfs "$2/root/run"
# Not chroot: from here on nothing of this machine can be reached in this mount namespace.
cd "$2/root"
mkdir machine
pivot_root . machine
umount -l /machine
rmdir /machine
echo ready
exec cat
"""


def make_base(release, deb):
    """A fresh Debian with the package's dependencies, which are in its apt cache as well."""
    depends = subprocess.check_output(["dpkg-deb", "--field", deb, "Depends"], text=True).strip()
    return make(
        "base",
        release,
        f"--include={INCLUDE}",
        "--skip=cleanup/apt",
        '--customize-hook=rm -f "$1"/var/cache/apt/archives/*.deb',
        f'--customize-hook=chroot "$1" apt-get satisfy -qy --no-install-recommends "{depends}"',
    )


def make_lintian(release):
    """A Debian with its lintian."""
    return make("lintian", release, "--include=lintian")


def make(name, release, *options):
    """The Debian that mmdebstrap makes with these options. It is kept for as long as they stay the same."""
    archive = [
        f"deb http://deb.debian.org/debian {release} main",
        f"deb http://deb.debian.org/debian-security {release}-security main",
    ]
    made, recipe = FOLDER / f"{name}-{release}", FOLDER / f"{name}-{release}.recipe"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", *options, release, made, *archive]
    wanted = "\n".join(map(str, command))
    if recipe.exists() and recipe.read_text() == wanted:
        return made
    recipe.unlink(missing_ok=True)
    shutil.rmtree(made, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, check=True)
    recipe.write_text(wanted)
    return made


class Root:
    """Use as a context: `with Root(base, tmp_path) as root: root.run("dpkg", "-l")`."""

    def __init__(self, base, folder):
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
            + ["sh", "-c", ENTER, "sh", base, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout.readline() == "ready\n"
        children = f"/proc/{self.holder.pid}/task/{self.holder.pid}/children"
        self.pid = pathlib.Path(children).read_text().strip()
        # Installing the package on the machine itself must not be possible.
        assert not os.path.samestat(os.stat(self.path("/")), os.stat("/"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.holder.stdin.close()
        self.holder.wait(timeout=30)
        self.holder.stdout.close()

    def path(self, name):
        """The file as this machine sees it; not to be used on links."""
        return pathlib.Path(f"/proc/{self.pid}/root/.", name.lstrip("/"))

    def run(self, *command, check=True, env=()):
        done = subprocess.run(
            ["nsenter", "--target", self.pid, "--mount", "--pid", "--net", "--ipc", "--uts", "--root"]
            + ["env", "-i", "--chdir=/", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
            + ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *env, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command} exits {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def add(self, deb):
        """The package file, where apt inside can read it."""
        name = f"/tmp/{os.path.basename(deb)}"
        shutil.copyfile(deb, self.path(name))
        return name

    def install(self, deb):
        return self.run("apt-get", "install", "-qy", "--no-install-recommends", "--reinstall", self.add(deb))

    def files(self):
        """Each path with its kind, mode, owner and link target, and but for a folder its time and contents."""
        prune = []
        for name in NOT_FILES + PACKAGE_BOOKS + ["/tmp"]:
            prune += ["-path", name, "-prune", "-o"]
        # insserv writes its books anew at each call, the same or not.
        timeless = ["-type", "d", "-o", "-path", "/etc/init.d/.depend.*"]
        time = ["(", *timeless, "-o", "-printf", " %T@", ")"]
        listed = self.run("find", "/", *prune, "-printf", "%p\\t%y %m %u %g %l", *time, "-printf", "\\n").stdout
        files = dict(line.split("\t", 1) for line in listed.splitlines())
        summed = self.run("find", "/", *prune, "-type", "f", "-exec", "sha256sum", "-z", "{}", "+").stdout
        for entry in summed.rstrip("\0").split("\0"):
            digest, name = entry.split("  ", 1)
            files[name] += f" {digest}"
        return files
