"""What a call costs the machine it runs on."""

import http.server
import os
import statistics
import subprocess
import threading

import pytest

ADDRESS = "203.0.113.25"
INSTANCE = "i-0123456789abcdef0"
ANSWER = f"""<DescribeAddressesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
<addressesSet><item><publicIp>{ADDRESS}</publicIp><domain>vpc</domain><allocationId>eipalloc-0123456789abcdef0</allocationId>
<associationId>eipassoc-0123456789abcdef0</associationId><instanceId>{INSTANCE}</instanceId></item></addressesSet>
</DescribeAddressesResponse>""".encode()
RUNS = 21
# Instructions of a status over plain HTTP, as callgrind counts them.
INSTRUCTIONS = 1_855_000


class AtOnce(http.server.BaseHTTPRequestHandler):
    """EC2 that answers at once that the instance has the address."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_):
        pass


@pytest.fixture
def node(tmp_path):
    """A folder for --root, configured for a local endpoint."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), AtOnce) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "etc/default").mkdir(parents=True)
        (tmp_path / "etc/default/elastic-ip").write_text(
            f"ELASTIC_IP={ADDRESS}\nMY_ID={INSTANCE}\nAWS_REGION=eu-west-1\n"
            f"AWS_ENDPOINT_URL_EC2=http://127.0.0.1:{server.server_address[1]}\n")
        (tmp_path / "root").mkdir()
        (tmp_path / "root/.awssecret").write_text("AKIDEXAMPLE\nsEcReTcAnArY-of-the-package\n")
        (tmp_path / "root/.awssecret").chmod(0o600)
        yield tmp_path
        server.shutdown()


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
