"""The package for arm64 on a Debian whose arm64 programs qemu runs. Called by `make arm64`, and not by `make test`."""

import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "tests/package"))
from root import Root  # noqa: E402

PROGRAM = "/usr/sbin/elastic-ip"
# The kernel would find the interpreter by binfmt_misc, which is the whole machine's. The name that it was called by
# makes it Pacemaker's agent or not.
BY_QEMU = f"""#!/bin/sh
exec qemu-aarch64-static -0 "$0" {PROGRAM}.distrib "$@"
"""


@pytest.fixture(scope="module")
def deb():
    subprocess.run([REPOSITORY / "debian/build-deb", "arm64"], check=True)
    deb, = (REPOSITORY / "target/arm64/deb").glob("elastic-ip_*_arm64.deb")
    return deb


@pytest.fixture(scope="module")
def machine(deb, tmp_path_factory):
    with Root(REPOSITORY / "target/arm64/root", tmp_path_factory.mktemp("machine")) as machine:
        subprocess.run(["nsenter", "--target", machine.pid, "--net", "ip", "link", "set", "lo", "up"], check=True)
        machine.run("dpkg-divert", "--local", "--rename", "--add", PROGRAM)
        machine.write(PROGRAM, BY_QEMU, 0o755)
        machine.run("dpkg", "--install", machine.add(deb))
        yield machine


def test_the_package_and_the_program_are_for_arm64(deb, machine):
    assert subprocess.check_output(["dpkg-deb", "--field", deb, "Architecture"], text=True) == "arm64\n"
    assert machine.run("dpkg-query", "-W", "-f", "${db:Status-Status}", "elastic-ip:arm64").stdout == "installed"
    header = machine.run("readelf", "--file-header", f"{PROGRAM}.distrib").stdout
    assert "Machine:                           AArch64" in header
    assert machine.run(PROGRAM, "--version").stdout.startswith("elastic-ip ")


def test_what_the_program_needs_the_package_depends_on(deb, machine):
    needed = machine.run("readelf", "--dynamic", f"{PROGRAM}.distrib").stdout
    libraries = {line.split("[")[1].rstrip("]") for line in needed.splitlines() if "(NEEDED)" in line}
    assert libraries <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-aarch64.so.1"}
    depends = subprocess.check_output(["dpkg-deb", "--field", deb, "Depends"], text=True)
    assert "libc6 (>= " in depends and "libgcc-s1 (>= " in depends


def test_the_package_passes_its_own_tests(machine):
    """status, start and stop as an init script and as an agent."""
    for name in ("contract", "ec2.py"):
        machine.write(f"/tmp/tests/{name}", (REPOSITORY / "debian/tests" / name).read_text(), 0o755)
    done = machine.run("/tmp/tests/contract", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": as it should be\n") >= 12


def test_a_status_by_https(machine):
    machine.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
                "-keyout", "/tmp/key", "-out", "/tmp/certificate")
    machine.write("/etc/hosts", "127.0.0.1 localhost\n")
    machine.write("/tmp/ec2.py", (REPOSITORY / "debian/tests/ec2.py").read_text(), 0o755)
    machine.write("/tmp/https/owner", "i-0123456789abcdef0")
    machine.run("sh", "-c", "/tmp/ec2.py /tmp/https --certificate /tmp/certificate --key /tmp/key >/tmp/https.log 2>&1 &"
                            "until [ -e /tmp/https/url ]; do kill -0 $!; sleep 0.1; done")
    settings = ["ELASTIC_IP=203.0.113.25", "AWS_REGION=eu-west-1", "MY_ID=i-0123456789abcdef0",
                f"AWS_ENDPOINT_URL_EC2={machine.path('/tmp/https/url').read_text()}",
                "AWS_ACCESS_KEY_ID=AKIDDUMMY", "AWS_SECRET_ACCESS_KEY=not-a-real-secret"]
    done = machine.run(PROGRAM, "status", env=[*settings, "SSL_CERT_FILE=/tmp/certificate"], check=False)
    assert (done.stdout, done.returncode) == ("elastic-ip remapper: I have 203.0.113.25\nrunning\n", 0), done.stderr
    stranger = machine.run(PROGRAM, "status", env=settings, check=False)
    assert (stranger.stdout, stranger.returncode) == ("unknown\n", 4)
    assert "certificate" in stranger.stderr


def test_lintian_is_content(deb):
    done = subprocess.run(["lintian", "--fail-on", "error,warning", deb], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
