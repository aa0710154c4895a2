import os
import pathlib
import shutil
import subprocess

import pytest
import root

REPOSITORY = root.REPOSITORY
STUB = """#!/bin/sh
echo "elastic-ip $*" >>/calls
"""
# Stands for "yes, you may" and notes the question.
POLICY = """#!/bin/sh
echo "policy-rc.d $*" >>/calls
exit 0
"""
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>/calls
"""


def pytest_configure():
    if os.geteuid() != 0:
        pytest.exit("tests/package needs root: it installs the package in namespaces of its own", 3)
    tools = ["dpkg-deb", "dh_installinit", "lintian", "man", "mandoc", "mmdebstrap", "nm", "nsenter"]
    missing = [tool for tool in [*tools, "rustc", "shellcheck", "unshare"] if not shutil.which(tool)]
    if missing:
        pytest.exit(f"tests/package: missing {' '.join(missing)}; run tests/setup", 3)


@pytest.fixture(scope="session")
def deb():
    """The package, built from the source tree as it is, or the one that PACKAGE names."""
    if "PACKAGE" in os.environ:
        return pathlib.Path(os.environ["PACKAGE"]).resolve()
    subprocess.run([REPOSITORY / "debian/build-deb"], check=True)
    version = subprocess.check_output(["dpkg-parsechangelog", "-S", "Version"], cwd=REPOSITORY, text=True)
    architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True)
    return REPOSITORY / f"target/deb/elastic-ip_{version.strip()}_{architecture.strip()}.deb"


def repack(deb, folder, change):
    """The same package after `change(contents)`, a folder as dpkg-deb --raw-extract makes it."""
    contents = folder / "contents"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, contents], check=True)
    change(contents)
    made = folder / "elastic-ip.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", contents, made], check=True)
    shutil.rmtree(contents)
    return made


def append_to_version(contents, text):
    control = contents / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join(f"{line}{text if line.startswith('Version: ') else ''}\n" for line in lines))


def raise_version(contents):
    append_to_version(contents, "+1")


@pytest.fixture(scope="session")
def newer_deb(deb, tmp_path_factory):
    """The next version, with other words in the program's place in the archive."""
    return repack(deb, tmp_path_factory.mktemp("newer"), raise_version)


@pytest.fixture(scope="session")
def default_debs(deb, tmp_path_factory):
    """Two versions as they would be with debhelper's defaults and a usual init script and unit.

    What is asserted of the package must fail with these.
    """
    tree = tmp_path_factory.mktemp("debhelper")
    (tree / "debian").mkdir()
    for name in ["changelog", "control", "elastic-ip.init", "elastic-ip.service"]:
        text = (REPOSITORY / "debian" / name).read_text()
        text = text.replace("# Default-Start:\n", "# Default-Start: 2 3 4 5\n")
        text = text.replace("# Default-Stop:\n", "# Default-Stop: 0 1 6\n")
        if name == "elastic-ip.service":
            text += "\n[Install]\nWantedBy=multi-user.target\n"
        (tree / "debian" / name).write_text(text)
    made = tree / "debian/elastic-ip"
    for command in ["dh_installinit", "dh_installsystemd", "dh_installdeb"]:
        subprocess.run([command], cwd=tree, check=True)

    def use_defaults(contents):
        (contents / "usr/lib/systemd/system/elastic-ip.service").unlink()
        for name in ["preinst", "postinst", "prerm", "postrm"]:
            (contents / "DEBIAN" / name).unlink(missing_ok=True)
        shutil.copytree(made, contents, dirs_exist_ok=True)

    def use_defaults_and_raise_version(contents):
        use_defaults(contents)
        raise_version(contents)

    older, newer = tmp_path_factory.mktemp("older"), tmp_path_factory.mktemp("newer")
    return repack(deb, older, use_defaults), repack(deb, newer, use_defaults_and_raise_version)


@pytest.fixture(scope="session", params=root.RELEASES)
def release(request):
    return request.param


@pytest.fixture(scope="session")
def base(release, deb):
    return root.make_base(release, deb)


@pytest.fixture
def fresh(base, tmp_path):
    """A fresh Debian of each release, without the package."""
    with root.Root(base, tmp_path) as fresh:
        yield fresh


@pytest.fixture
def installed(fresh, deb):
    fresh.install(deb)
    return fresh


@pytest.fixture(scope="module")
def standing(base, deb, tmp_path_factory):
    """A Debian with the package that a file's tests share; each puts a program of its own there."""
    with root.Root(base, tmp_path_factory.mktemp("standing")) as standing:
        standing.install(deb)
        yield standing


def put_program(root, text):
    root.write("/usr/sbin/elastic-ip", f"#!/bin/sh\n{text}\n", 0o755)


@pytest.fixture(scope="session")
def contents(deb, tmp_path_factory):
    """What the package holds, unpacked."""
    folder = tmp_path_factory.mktemp("contents")
    subprocess.run(["dpkg-deb", "--extract", deb, folder], check=True)
    return folder


def place(root, name, text):
    """Puts a program in another's place that stays there whatever package brings its own."""
    root.run("dpkg-divert", "--local", "--rename", "--add", name)
    root.write(name, text, 0o755)


def remove_insserv(root):
    """Makes it a machine where update-rc.d sets the runlevels' links itself."""
    root.path("/etc/insserv.conf").unlink()


@pytest.fixture(params=["sysvinit", "systemd"])
def recorder(request, fresh):
    """A fresh Debian that notes each word to the program or to an init system in /calls."""
    place(fresh, "/usr/sbin/elastic-ip", STUB)
    fresh.write("/usr/sbin/policy-rc.d", POLICY, 0o755)
    if request.param == "systemd":
        remove_insserv(fresh)
        fresh.path("/run/systemd/system").mkdir(parents=True)
        place(fresh, "/usr/bin/systemctl", SYSTEMCTL)
    return fresh
