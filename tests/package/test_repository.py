"""What apt makes of the repository of `make apt-repo`, in a machine that knows no other."""

import os
import re
import shutil
import subprocess
import tempfile

import pytest
from conftest import REPOSITORY, append_to_version, repack
from root import RELEASES

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


def sign_up(root, *debs):
    """A repository that the machine knows, and has not looked into."""
    folder = publish(root, *debs)
    release = root.run("sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME").stdout.strip()
    root.run("install", "-m", "644", f"{FOLDER}/{release}.sources", "/etc/apt/sources.list.d/elastic-ip.sources")
    return folder


def use(root, *debs):
    folder = sign_up(root, *debs)
    root.run("apt-get", "update")
    return folder


def commands_of(page, heading):
    """What the page has a person type on a node below that heading: the commands with sudo, without their comments."""
    text = (REPOSITORY / page).read_text().split(f"\n## {heading}\n")[1]
    block = text.split("```sh\n")[1].split("```")[0]
    return [line.split("#")[0].strip().removeprefix("sudo ") for line in block.splitlines() if line.startswith("sudo ")]


def do(root, commands):
    root.run("sh", "-euc", "\n".join(f"{command} -y" if "apt install" in command else command for command in commands))


def version(root):
    return root.run("dpkg-query", "-W", "-f", "${Version}", "elastic-ip").stdout


def test_the_commands_of_the_page_on_installation_install_it(machine, release, deb):
    publish(machine, deb)
    sign_up, *commands, manager = commands_of("docs/installation.md", "From an apt repository")
    assert (len(commands), commands[-1], manager) == (2, "apt install elastic-ip", "apt install heartbeat")
    assert "/trixie.sources " in sign_up
    do(machine, [sign_up.replace("trixie", release), *commands])
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


@pytest.fixture(scope="session")
def arm64_deb(deb, tmp_path_factory):
    """The same files, said to be for arm64."""
    def say_arm64(contents):
        control = contents / "DEBIAN/control"
        control.write_text(control.read_text().replace("Architecture: amd64", "Architecture: arm64"))

    made = repack(deb, tmp_path_factory.mktemp("arm64"), say_arm64)
    return made.rename(made.with_name("elastic-ip_arm64.deb"))


def test_apt_reads_from_the_release_file_what_the_repository_is_for(machine, release, deb, arm64_deb):
    machine.run("dpkg", "--add-architecture", "arm64")
    folder = use(machine, deb, arm64_deb)
    for architecture in ["amd64", "arm64"]:
        known = machine.run("apt-cache", "policy").stdout
        assert f"release o=elastic-ip,a={release},n={release},l=elastic-ip,c=main,b={architecture}\n" in known
        shown = machine.run("apt-cache", "show", f"elastic-ip:{architecture}").stdout
        assert f"\nArchitecture: {architecture}\n" in shown and "\nSHA256: " in shown
    said = dict(line.split(": ", 1) for line in (folder / f"dists/{release}/Release").read_text().splitlines() if re.match(r"\w+: ", line))
    assert said["Architectures"] == "amd64 arm64" and said["Components"] == "main"
    assert {said["Suite"], said["Codename"]} == {release}
    # The whole of it is what is signed.
    assert (folder / f"dists/{release}/Release").read_text() in (folder / f"dists/{release}/InRelease").read_text()


def test_a_node_takes_it_from_the_suite_of_its_own_release_alone(machine, release, deb):
    use(machine, deb)
    lists = machine.run("find", "/var/lib/apt/lists", "-type", "f", "-name", "*elastic-ip*").stdout.split()
    assert lists and all(f"_dists_{release}_" in name for name in lists)


def change_release(folder, release):
    path = folder / f"dists/{release}/InRelease"
    path.write_text(path.read_text().replace("Origin: elastic-ip", "Origin: somebody"))


def change_index(folder, release):
    """One byte, so that the size stays."""
    for path in (folder / f"dists/{release}/main/binary-amd64").glob("Packages*"):
        text = path.read_bytes()
        path.write_bytes(text[:-1] + bytes([text[-1] ^ 1]))


def sign_by_another_key(folder, release):
    other = folder.with_name("other")
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"GNUPGHOME": home}
        for command in (["--passphrase", "", "--quick-generate-key", "somebody", "ed25519", "sign", "never"],
                        ["--clear-sign", "--output", str(other), folder / f"dists/{release}/Release"]):
            subprocess.run(["gpg", "--batch", "--quiet", *command], env=environment, check=True)
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=True)
    other.rename(folder / f"dists/{release}/InRelease")


@pytest.mark.parametrize("change", [change_release, change_index, sign_by_another_key])
def test_apt_refuses_a_repository_that_somebody_else_has_changed(machine, release, deb, change):
    change(sign_up(machine, deb), release)
    assert machine.run("apt-get", "update", check=False).returncode == 100
    assert machine.run("apt-get", "install", "-qy", "elastic-ip", check=False).returncode == 100


def test_apt_refuses_a_package_that_somebody_else_has_changed(machine, deb):
    folder = use(machine, deb)
    package, = folder.glob("pool/**/*.deb")
    text = package.read_bytes()
    package.write_bytes(text[:-1] + bytes([text[-1] ^ 1]))
    refused = machine.run("apt-get", "install", "-qy", "elastic-ip", check=False)
    assert refused.returncode == 100 and "Hash Sum mismatch" in refused.stderr


def test_apt_holds_to_the_repository_it_knew_when_somebody_else_has_changed_it(machine, release, deb):
    change_release(use(machine, deb), release)
    refused = machine.run("apt-get", "update", check=False)
    assert "is not updated and the previous index files will be used" in refused.stderr
    assert "o=elastic-ip" in machine.run("apt-cache", "policy").stdout


def test_the_key_is_the_same_the_next_time(deb, tmp_path):
    def make():
        subprocess.run([REPOSITORY / "debian/apt-repository", tmp_path, f"file:{FOLDER}", deb], check=True)
        return [(tmp_path / f"{release}.sources").read_text().split("Signed-By:")[1] for release in RELEASES]

    first, other = make()
    assert first == other and make() == [first, first]
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
