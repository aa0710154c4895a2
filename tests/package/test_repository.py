"""What apt makes of the repository of `make apt-repo`, in a machine that knows no other."""

import gzip
import shutil
import subprocess

import pytest
from conftest import REPOSITORY, append_to_version, repack

FOLDER = "/srv/elastic-ip"


@pytest.fixture(scope="session")
def older_deb(deb, tmp_path_factory):
    return repack(deb, tmp_path_factory.mktemp("previous"), lambda contents: append_to_version(contents, "~previous"))


def publish(root, *debs):
    folder = root.path(FOLDER)
    subprocess.run([REPOSITORY / "debian/apt-repository", folder, f"file:{FOLDER}", *debs], check=True)
    return folder


@pytest.fixture
def machine(fresh):
    """A fresh Debian that knows no archive: what it installs comes from the repository or from its cache."""
    fresh.path("/etc/apt/sources.list").unlink()
    return fresh


def use(root, *debs):
    folder = publish(root, *debs)
    root.run("install", "-m", "644", f"{FOLDER}/elastic-ip.sources", "/etc/apt/sources.list.d/")
    root.run("apt-get", "update")
    return folder


def commands_of(page, heading):
    """What the page has a person type on a node below that heading: the commands with sudo, without their comments."""
    text = (REPOSITORY / page).read_text().split(f"\n## {heading}\n")[1]
    block = text.split("```sh\n")[1].split("```")[0]
    return [line.split("#")[0].strip().removeprefix("sudo ") for line in block.splitlines() if line.startswith("sudo ")]


def do(root, commands):
    for command in commands:
        root.run("sh", "-c", f"{command} -y" if "apt install" in command else command)


def version(root):
    return root.run("dpkg-query", "-W", "-f", "${Version}", "elastic-ip").stdout


def test_the_commands_of_the_page_on_installation_install_it(machine, deb):
    publish(machine, deb)
    *commands, manager = commands_of("docs/installation.md", "From an apt repository")
    assert (len(commands), commands[-1], manager) == (3, "apt install elastic-ip", "apt install heartbeat")
    do(machine, commands)
    assert machine.run("dpkg", "--verify", "elastic-ip").stdout == ""


def test_the_readmes_commands_install_it(machine, deb):
    command, manager = commands_of("README.md", "Install")
    assert (command, manager) == (f"apt install ./{deb.name}", "apt install heartbeat")
    shutil.copyfile(deb, machine.path(f"/root/{deb.name}"))
    do(machine, [f"cd /root && {command}"])
    assert machine.run("dpkg", "--verify", "elastic-ip").stdout == ""


def test_apt_installs_reinstalls_removes_and_purges_it(machine, deb):
    use(machine, deb)
    machine.run("apt-get", "install", "-qy", "elastic-ip")
    assert machine.run("dpkg", "--verify", "elastic-ip").stdout == ""
    machine.path("/usr/sbin/elastic-ip").unlink()
    machine.run("apt-get", "install", "-qy", "--reinstall", "elastic-ip")
    assert "elastic-ip" in machine.run("/usr/sbin/elastic-ip", "--version").stdout
    machine.run("apt-get", "remove", "-qy", "elastic-ip")
    assert machine.path("/etc/default/elastic-ip").exists()
    machine.run("apt-get", "purge", "-qy", "elastic-ip")
    assert not machine.path("/etc/default/elastic-ip").exists()


def test_apt_upgrades_it_from_the_previous_version_and_keeps_the_state_and_the_configuration(machine, deb, older_deb):
    use(machine, older_deb)
    machine.run("apt-get", "install", "-qy", "elastic-ip")
    assert version(machine).endswith("~previous")
    machine.write("/etc/default/elastic-ip", "ELASTIC_IP=203.0.113.25\n")
    state = '{"version": 1, "handed_over": 1000}\n'
    machine.write("/run/elastic-ip/203.0.113.25.json", state)
    publish(machine, older_deb, deb)
    machine.run("apt-get", "update")
    machine.run("apt-get", "upgrade", "-qy")
    assert not version(machine).endswith("~previous")
    assert machine.path("/etc/default/elastic-ip").read_text() == "ELASTIC_IP=203.0.113.25\n"
    assert machine.path("/run/elastic-ip/203.0.113.25.json").read_text() == state


def test_apt_refuses_a_repository_that_somebody_else_has_changed(machine, deb):
    folder = use(machine, deb)
    index = folder / "dists/stable/main/binary-amd64/Packages.gz"
    index.write_bytes(gzip.compress(gzip.decompress(index.read_bytes()).replace(b"Architecture: amd64", b"Architecture: all")))
    release = folder / "dists/stable/InRelease"
    release.write_text(release.read_text().replace("Origin: elastic-ip", "Origin: somebody"))
    refused = machine.run("apt-get", "update", check=False)
    assert "BADSIG" in refused.stdout + refused.stderr or "invalid" in (refused.stdout + refused.stderr).lower()


def test_the_key_is_the_same_the_next_time(machine, deb):
    first = (publish(machine, deb) / "elastic-ip.sources").read_text()
    assert (publish(machine, deb) / "elastic-ip.sources").read_text() == first
    assert "BEGIN PGP PUBLIC KEY BLOCK" in first


def test_a_key_that_is_not_there_is_told(deb, tmp_path):
    done = subprocess.run(
        [REPOSITORY / "debian/apt-repository", tmp_path / "apt", "file:/srv/elastic-ip", deb],
        env={"KEY": "nobody@example.com", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert 'no secret key "nobody@example.com"' in done.stderr
