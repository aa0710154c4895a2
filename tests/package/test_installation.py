"""What apt and dpkg do to a machine with the package."""

import platform
import shutil
import subprocess

import pytest
from conftest import repack
from root import Root, make_lintian

USERS_FILES = {
    "/etc/ha.d/ha.cf": ("node server1 server2\nauto_failback on\n", 0o644),
    "/etc/ha.d/haresources": ("server1 elastic-ip\n", 0o644),
    "/etc/ha.d/authkeys": ("auth 1\n1 sha1 not-a-real-key\n", 0o600),
    "/root/.awssecret": ("AKIDEXAMPLE\nnot-a-real-secret\n", 0o600),
}


def is_installed(root, package):
    return "ok installed" in root.run("dpkg-query", "-W", "-f", "${Status}", package, check=False).stdout


def test_apt_installs_it_with_what_it_depends_on(fresh, deb):
    fresh.run("apt-get", "purge", "-qy", "ca-certificates", "openssl")
    assert not is_installed(fresh, "ca-certificates")
    fresh.install(deb)
    assert fresh.run("dpkg", "--audit").stdout == ""
    assert is_installed(fresh, "elastic-ip")
    assert is_installed(fresh, "ca-certificates")
    assert fresh.run("dpkg", "--verify", "elastic-ip").stdout == ""
    missing = [line for line in fresh.run("ldd", "/usr/sbin/elastic-ip").stdout.splitlines() if "not found" in line]
    assert missing == []


def test_it_brings_no_cluster_manager(installed):
    for package in ["heartbeat", "keepalived", "pacemaker"]:
        assert not is_installed(installed, package)


def test_heartbeat_finds_the_resource_and_it_is_the_init_script(installed):
    found = installed.run("readlink", "-f", "/etc/ha.d/resource.d/elastic-ip").stdout.strip()
    assert found == "/etc/init.d/elastic-ip"


def test_pacemaker_finds_the_agent_and_it_is_the_program(installed):
    agent = "/usr/lib/ocf/resource.d/elastic-ip/elastic-ip"
    assert installed.run("readlink", "--canonicalize", agent).stdout == "/usr/sbin/elastic-ip\n"
    assert "<resource-agent " in installed.run(agent, "meta-data").stdout
    assert installed.run("elastic-ip", "meta-data", check=False).returncode == 3


def test_the_configuration_and_the_init_script_are_kept_as_the_user_changed_them(installed, newer_deb):
    for name in ["/etc/default/elastic-ip", "/etc/init.d/elastic-ip"]:
        path = installed.path(name)
        path.write_text(path.read_text() + "# changed by the user\n")
    installed.install(newer_deb)
    assert "+1" in installed.run("dpkg-query", "-W", "elastic-ip").stdout
    for name in ["/etc/default/elastic-ip", "/etc/init.d/elastic-ip"]:
        assert installed.path(name).read_text().endswith("# changed by the user\n")


def users_files_of(root):
    return {name: entry for name, entry in root.files().items() if name in USERS_FILES}


def test_the_users_files_stay_as_they_are_through_installation_upgrade_and_purge(fresh, deb, newer_deb):
    for name, (text, mode) in USERS_FILES.items():
        fresh.write(name, text, mode)
    before = users_files_of(fresh)
    assert len(before) == len(USERS_FILES)
    fresh.install(deb)
    assert users_files_of(fresh) == before
    fresh.install(newer_deb)
    assert users_files_of(fresh) == before
    fresh.run("apt-get", "purge", "-qy", "elastic-ip")
    assert users_files_of(fresh) == before


def test_an_installation_makes_no_file_that_belongs_to_the_user(installed):
    for name in USERS_FILES:
        assert installed.run("test", "-e", name, check=False).returncode == 1


def test_a_purge_leaves_nothing_behind(fresh, deb, newer_deb):
    before = fresh.files()
    fresh.install(deb)
    fresh.install(newer_deb)
    fresh.write("/run/elastic-ip/203.0.113.25.json", "")
    during = fresh.files()
    assert "/usr/sbin/elastic-ip" in during
    fresh.run("apt-get", "purge", "-qy", "elastic-ip")
    after = fresh.files()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == set()


def test_a_removal_keeps_the_state_until_a_purge(installed):
    installed.write("/run/elastic-ip/203.0.113.25.json", "")
    installed.run("apt-get", "remove", "-qy", "elastic-ip")
    assert installed.path("/run/elastic-ip/203.0.113.25.json").exists()
    installed.run("apt-get", "purge", "-qy", "elastic-ip")
    assert not installed.path("/run/elastic-ip").exists()


def test_an_upgrade_keeps_the_unit_that_was_in_lib(fresh, deb, newer_deb, tmp_path):
    """Debian 12's debhelper puts units there, and there they were in packages of version 1.0.0."""
    def move_unit(contents):
        (contents / "lib").mkdir()
        shutil.move(contents / "usr/lib/systemd", contents / "lib/systemd")

    fresh.install(repack(deb, tmp_path, move_unit))
    assert "/lib/systemd/system/elastic-ip.service" in fresh.run("dpkg", "-L", "elastic-ip").stdout.split()
    fresh.install(newer_deb)
    assert "/usr/lib/systemd/system/elastic-ip.service" in fresh.run("dpkg", "-L", "elastic-ip").stdout.split()
    assert fresh.run("dpkg", "--verify", "elastic-ip").stdout == ""
    assert fresh.run("test", "-f", "/usr/lib/systemd/system/elastic-ip.service").returncode == 0


def test_it_can_be_installed_again_after_a_removal(installed, deb):
    installed.run("apt-get", "remove", "-qy", "elastic-ip")
    installed.install(deb)
    assert installed.run("dpkg", "--verify", "elastic-ip").stdout == ""
    assert installed.run("test", "-x", "/etc/init.d/elastic-ip").returncode == 0


def test_the_package_is_small(deb, contents):
    assert deb.stat().st_size < 1_500_000
    assert (contents / "usr/sbin/elastic-ip").stat().st_size < 4_000_000


@pytest.fixture
def lintian(release, tmp_path):
    """What that release's lintian says of a package: this machine's own, or one in a Debian of its own."""
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", "--show-overrides"]
    if platform.freedesktop_os_release()["VERSION_CODENAME"] == release:
        yield lambda changes: subprocess.run([*command, changes], capture_output=True, text=True)
        return

    with Root(make_lintian(release), tmp_path) as there:
        def inspect(changes):
            for file in changes.parent.glob(f"{changes.stem}.*"):
                there.add(file)
            return there.run(*command, f"/tmp/{changes.name}", check=False)

        yield inspect


def test_lintian_finds_no_error_and_no_warning_and_overrides_nothing(lintian, deb, contents):
    done = lintian(deb.with_suffix(".changes"))
    assert (done.returncode, done.stdout) == (0, "")
    assert not (contents / "usr/share/lintian").exists()


def test_lintian_would_find_an_error(lintian, deb, tmp_path):
    bad = repack(deb, tmp_path, lambda contents: (contents / "etc/default/elastic-ip").chmod(0o777))
    assert lintian(bad).returncode == 2
