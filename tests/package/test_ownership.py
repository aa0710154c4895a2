"""The cluster manager owns the address: nothing that apt, dpkg or a boot does moves it."""

import re

import pytest
from conftest import remove_insserv

CYCLE = ["install", "reinstall", "upgrade", "remove", "install again", "purge"]
# What changes what runs, or what will run. `systemctl daemon-reload` does neither.
ACTS = re.compile(r"\b(start|stop|restart|reload|try-restart|enable|reenable|mask|unmask|preset|isolate)\b")


def calls_of_a_life(root, older, newer):
    """Each step of a package's life, with what was said to the program or an init system in it."""
    steps = {
        "install": lambda: root.install(older),
        "reinstall": lambda: root.install(older),
        "upgrade": lambda: root.install(newer),
        "remove": lambda: root.run("apt-get", "remove", "-qy", "elastic-ip"),
        "install again": lambda: root.install(older),
        "purge": lambda: root.run("apt-get", "purge", "-qy", "elastic-ip"),
    }
    assert list(steps) == CYCLE
    said = {}
    for step, carry_out in steps.items():
        root.write("/calls", "")
        carry_out()
        said[step] = [call for call in root.path("/calls").read_text().splitlines() if concerns_us(call)]
    return said


def concerns_us(call):
    return "elastic-ip" in call and ACTS.search(call.replace("elastic-ip", "", 1)) is not None


def test_no_step_of_its_life_starts_stops_or_enables_it(recorder, deb, newer_deb):
    assert calls_of_a_life(recorder, deb, newer_deb) == {step: [] for step in CYCLE}


def test_debhelpers_defaults_would_be_seen_at_every_step(recorder, default_debs):
    said = calls_of_a_life(recorder, *default_debs)
    assert [step for step in CYCLE if not said[step]] == []


def runlevel_links(root):
    found = root.run("find", "/etc", "-path", "/etc/rc?.d/*", "-name", "*elastic-ip*").stdout
    return found.split()


@pytest.fixture(params=["insserv", "update-rc.d"])
def runlevels(request, fresh):
    """A fresh Debian where either of the two sets the runlevels' links."""
    if request.param == "update-rc.d":
        remove_insserv(fresh)
    return fresh


def test_no_runlevel_starts_or_stops_it(runlevels, deb, newer_deb):
    runlevels.install(deb)
    assert runlevel_links(runlevels) == []
    runlevels.install(newer_deb)
    assert runlevel_links(runlevels) == []


def test_a_usual_init_script_would_be_seen_in_the_runlevels(runlevels, default_debs):
    runlevels.install(default_debs[0])
    assert len(runlevel_links(runlevels)) == 7


def test_no_preset_can_enable_the_unit(installed):
    installed.write("/etc/systemd/system-preset/00-all.preset", "enable *\n")
    installed.run("systemctl", "--root=/", "preset", "elastic-ip.service", check=False)
    installed.run("systemctl", "--root=/", "preset-all", check=False)
    assert installed.run("systemctl", "--root=/", "is-enabled", "elastic-ip.service", check=False).stdout == "static\n"


def test_a_usual_unit_would_be_seen_as_enabled(fresh, default_debs):
    fresh.install(default_debs[0])
    assert fresh.run("systemctl", "--root=/", "is-enabled", "elastic-ip.service").stdout == "enabled\n"


def generated_units(root):
    """What systemd makes of init scripts that have no unit, and what it says of them: from 254 on, that this support ends."""
    root.run("mkdir", "-p", "/tmp/generated")
    generator = "/usr/lib/systemd/system-generators/systemd-sysv-generator"
    said = root.run(generator, "/tmp/generated", "/tmp/generated", "/tmp/generated", env=["SYSTEMD_LOG_TARGET=console"])
    warnings = [line for line in (said.stdout + said.stderr).splitlines() if "elastic-ip" in line]
    return root.run("find", "/tmp/generated", "-name", "elastic-ip*").stdout.split() + warnings


def test_systemd_makes_no_unit_of_the_init_script(installed):
    assert generated_units(installed) == []


def test_without_its_unit_systemd_would_make_one(installed, release):
    installed.run("rm", "/usr/lib/systemd/system/elastic-ip.service")
    unit, *warnings = generated_units(installed)
    assert unit.endswith("/elastic-ip.service")
    assert any("lacks a native systemd unit file" in line for line in warnings) == (release != "bookworm")


def test_a_systemd_that_knows_no_init_scripts_has_the_unit_all_the_same(installed):
    installed.run("rm", "/usr/lib/systemd/system-generators/systemd-sysv-generator", "/etc/init.d/elastic-ip")
    assert installed.run("systemctl", "--root=/", "is-enabled", "elastic-ip.service", check=False).stdout == "static\n"
    verified = installed.run("systemd-analyze", "verify", "--man=no", "elastic-ip.service", check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_has_nothing_to_run_at_a_shutdown_and_does_not_stay_active(installed):
    unit = installed.path("/usr/lib/systemd/system/elastic-ip.service").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in unit if "=" in line and not line.startswith("#"))
    assert settings["Type"] == "oneshot"
    assert settings["ExecStart"] == "/usr/sbin/elastic-ip start"
    assert settings.keys().isdisjoint({"ExecStop", "ExecStopPost", "RemainAfterExit", "WantedBy"})
    verified = installed.run("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/elastic-ip.service", check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
