"""What the program makes of a machine: the requests it sends, as the other side sees them, or that it refuses."""

import http.server
import json
import subprocess
import threading
from pathlib import Path

from cases import HOME
from oracle import ASSUMED, REGION, ROLE_KEYS, signed

PROGRAM = Path(__file__).resolve().parents[2] / "target/debug/elastic-ip"
ADDRESS, ME = "203.0.113.25", "i-0aaaaaaaaaaaaaaaa"
DESCRIBED = f"""<DescribeAddressesResponse><requestId>r-1</requestId><addressesSet><item><publicIp>{ADDRESS}</publicIp>
<domain>vpc</domain><allocationId>eipalloc-1</allocationId><associationId>eipassoc-1</associationId><instanceId>{ME}</instanceId>
</item></addressesSet></DescribeAddressesResponse>"""


class Cloud(http.server.ThreadingHTTPServer):
    """EC2, STS and the metadata service of every machine, each below a path of its own."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = {}
        self.roles = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, number):
        return f"http://127.0.0.1:{self.server_address[1]}/{number}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        number = int(self.path.split("/")[1])
        request = signed(self.headers["Authorization"], self.headers["X-Amz-Security-Token"], body)
        self.server.requests.setdefault(number, []).append(request)
        self.answer(200, ASSUMED if "Action=AssumeRole" in body else DESCRIBED)

    def do_PUT(self):
        self.answer(200, "token")

    def do_GET(self):
        _, number, path = self.path.split("/", 2)
        keys = {"Code": "Success", "AccessKeyId": ROLE_KEYS["access_key"], "SecretAccessKey": ROLE_KEYS["secret_key"],
                "Token": ROLE_KEYS["token"]}
        facts = {"placement/region": REGION}
        if self.server.roles[int(number)]:
            facts |= {"iam/security-credentials/": "web\n", "iam/security-credentials/web": json.dumps(keys)}
        fact = facts.get(path.removeprefix("latest/meta-data/"))
        self.answer(200 if fact else 404, fact or "")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def write(root, case, url):
    """The machine's files."""
    lines = {"ELASTIC_IP": ADDRESS, "MY_ID": ME, "AWS_ENDPOINT_URL_EC2": url, "AWS_ENDPOINT_URL_STS": url,
             "AWS_EC2_METADATA_SERVICE_ENDPOINT": url, **case.configured}
    if case.only_profile:
        lines["AWS_PARAMS"] = f"--profile=\"{case.only_profile}\""
    text = "".join(f"{name}='{value}'\n" for name, value in lines.items()).encode()
    for path, content in {"etc/default/elastic-ip": text, **case.files}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o600)


def outcome(cloud, number, case, root):
    """The requests in their order, or the reason of a refusal."""
    cloud.roles[number] = case.has_role
    environment = {"HOME": f"/{HOME}", **case.environment}
    done = subprocess.run([PROGRAM, "--root", root, "status"], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=30, check=False)
    requests = cloud.requests.pop(number, [])
    if done.returncode == 0:
        return requests
    assert done.returncode == 4 and "running" not in done.stdout, done
    return f"refused: {done.stderr.strip()}" if not requests else requests
