"""What /etc/init.d/elastic-ip passes on, and what it says when the program is missing."""

import subprocess

import pytest
from conftest import put_program

INIT = "/etc/init.d/elastic-ip"
RESOURCE = "/etc/ha.d/resource.d/elastic-ip"


@pytest.mark.parametrize("script", [INIT, RESOURCE])
@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 6])
def test_it_passes_the_programs_exit_code_through(standing, script, code):
    put_program(standing, f"exit {code}")
    assert standing.run(script, "status", check=False).returncode == code


@pytest.mark.parametrize("script", [INIT, RESOURCE])
def test_it_passes_the_arguments_through_one_by_one(standing, script):
    put_program(standing, 'printf "<%s>" "$@"')
    said = standing.run(script, "--config", "/etc/a file", "203.0.113.25", "*", "", "start").stdout
    assert said == "<--config></etc/a file><203.0.113.25><*><><start>"


def test_it_passes_both_streams_and_the_environment_through(standing):
    put_program(standing, 'echo "$HA_LOGFACILITY"; echo reason >&2')
    done = standing.run(INIT, "status", env=["HA_LOGFACILITY=local0"])
    assert (done.stdout, done.stderr) == ("local0\n", "reason\n")


def let_systemd_take_calls_over(root):
    """As on a machine that systemd has booted, less the rest of systemd."""
    root.path("/run/systemd/system").mkdir(parents=True)
    root.write("/usr/bin/systemctl", "#!/bin/sh\necho systemctl was called\n", 0o755)
    assert root.path("/lib/lsb/init-functions.d/40-systemd").exists()


def test_systemd_does_not_take_the_call_over(installed):
    let_systemd_take_calls_over(installed)
    put_program(installed, "echo the program was called")
    assert installed.run(INIT, "start").stdout == "the program was called\n"


def test_systemd_would_take_over_the_call_of_a_usual_init_script(installed):
    let_systemd_take_calls_over(installed)
    script = installed.path(INIT).read_text().replace("\nprogram=", "\n. /lib/lsb/init-functions\nprogram=")
    installed.write(INIT, script, 0o755)
    put_program(installed, "echo the program was called")
    assert "systemctl was called" in installed.run(INIT, "start").stdout


@pytest.mark.parametrize("action", ["start", "stop", "status", "restart", "try-restart", "force-reload"])
def test_it_exits_5_and_claims_nothing_when_the_program_is_missing(standing, action):
    standing.path("/usr/sbin/elastic-ip").unlink(missing_ok=True)
    done = standing.run(INIT, action, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert "/usr/sbin/elastic-ip is missing" in done.stderr


def test_systemd_does_not_take_the_call_over_when_the_program_is_missing(installed):
    let_systemd_take_calls_over(installed)
    installed.path("/usr/sbin/elastic-ip").unlink()
    done = installed.run(INIT, "stop", check=False)
    assert (done.returncode, done.stdout) == (5, "")


def test_it_exits_5_after_a_removal(installed):
    installed.run("apt-get", "remove", "-qy", "elastic-ip")
    assert installed.run("sh", INIT, "stop", check=False).returncode == 5


def test_it_exits_5_without_init_functions(installed):
    installed.path("/usr/sbin/elastic-ip").unlink()
    installed.path("/lib/lsb/init-functions").unlink()
    done = installed.run(INIT, "status", check=False)
    assert (done.returncode, done.stdout) == (5, "")


def test_the_scripts_of_the_package_are_clean(contents, deb, tmp_path):
    subprocess.run(["dpkg-deb", "--control", deb, tmp_path / "control"], check=True)
    scripts = [contents / "etc/init.d/elastic-ip", *(tmp_path / "control").glob("p*")]
    scripts.append(contents / "usr/share/doc/elastic-ip/examples/check_elastic_ip")
    assert (tmp_path / "control/postrm") in scripts
    done = subprocess.run(["shellcheck", "--shell=sh", *scripts], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    completion = contents / "usr/share/bash-completion/completions/elastic-ip"
    done = subprocess.run(["shellcheck", "--shell=bash", completion], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
