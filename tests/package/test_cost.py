"""What a call costs the machine it runs on."""

import os
import statistics
import subprocess
import sys
import threading

import pytest
from root import REPOSITORY

sys.path.append(str(REPOSITORY / "debian/tests"))
from ec2 import Ec2  # noqa: E402

ADDRESS = "203.0.113.25"
INSTANCE = "i-0123456789abcdef0"
RUNS = 21
# Instructions of a status over plain HTTP, as callgrind counts them.
INSTRUCTIONS = 1_855_000


@pytest.fixture
def node(tmp_path):
    """A folder for --root, configured for a local endpoint."""
    (tmp_path / "owner").write_text(INSTANCE)
    with Ec2(tmp_path) as ec2:
        threading.Thread(target=ec2.serve_forever, daemon=True).start()
        (tmp_path / "etc/default").mkdir(parents=True)
        (tmp_path / "etc/default/elastic-ip").write_text(
            f"ELASTIC_IP={ADDRESS}\nMY_ID={INSTANCE}\nAWS_REGION=eu-west-1\nAWS_ENDPOINT_URL_EC2={ec2.url}\n")
        (tmp_path / "root").mkdir()
        (tmp_path / "root/.awssecret").write_text("AKIDEXAMPLE\nsEcReTcAnArY-of-the-package\n")
        (tmp_path / "root/.awssecret").chmod(0o600)
        yield tmp_path
        ec2.shutdown()


def milliseconds_of_cpu(program, node):
    child = subprocess.Popen([program, "--root", node, "status"], stdout=subprocess.PIPE, env={"HOME": "/root"})
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert (said, child.returncode) == (f"elastic-ip remapper: I have {ADDRESS}\nrunning\n".encode(), 0)
    return 1000 * (used.ru_utime + used.ru_stime)


def test_a_status_costs_less_than_15_ms_of_cpu(contents, node):
    costs = [milliseconds_of_cpu(contents / "usr/sbin/elastic-ip", node) for _ in range(RUNS)]
    print(f"\nCPU of a status: median {statistics.median(costs):.1f} ms, from {min(costs):.1f} to {max(costs):.1f} ms")
    assert statistics.median(costs) < 15


def test_a_status_executes_as_many_instructions_as_it_did(contents, node, tmp_path):
    counted = tmp_path / "callgrind"
    said = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counted}", contents / "usr/sbin/elastic-ip", "--root", node, "status"],
        env={"HOME": "/root", "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    assert said.stdout.endswith("running\n")
    instructions = next(int(line.split()[1]) for line in counted.read_text().splitlines() if line.startswith("summary:"))
    print(f"\nInstructions of a status: {instructions}")
    assert abs(instructions / INSTRUCTIONS - 1) < 0.05, (
        f"{instructions} instructions, where {INSTRUCTIONS} were counted; see with `callgrind_annotate --inclusive=yes` what has changed, "
        "and if it is meant, or is another compiler's doing, correct INSTRUCTIONS here")
