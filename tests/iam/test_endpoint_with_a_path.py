"""A service below a path, as Eucalyptus is: each request's signature is right for the path that it is sent to.

moto serves no such path, so the requests are checked with botocore's own signer.
"""

import http.server
import re
import subprocess
import threading
from urllib.parse import parse_qs

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from test_policy import ADDRESS, MINE, NOT_MINE, PROGRAM, REGION, UNKNOWN

KEYS = ("AKIDEUCALYPTUS", "not-a-real-secret")
INSTANCE = "i-4d2b6f0a"


class Service(http.server.ThreadingHTTPServer):
    """Eucalyptus as it is without VPC, with one address: no allocation and no association ids."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.owner = "i-5b1c0e9f"
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parameters = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        del parameters["Version"]
        action = parameters.pop("Action")
        self.server.asked.append((self.path, action, parameters))
        if self.is_signed(body):
            self.answer(200, f"<{action}Response><requestId>r-1</requestId>{getattr(self, action)(parameters)}</{action}Response>")
        else:
            self.answer(403, "<Response><Errors><Error><Code>AuthFailure</Code><Message>signature</Message></Error></Errors></Response>")

    def is_signed(self, body: bytes) -> bool:
        given = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=(\w+)", self.headers["Authorization"])
        headers = {name: self.headers[name] for name in given[2].split(";")}
        request = botocore.awsrequest.AWSRequest("POST", f"http://{self.headers['Host']}{self.path}", headers, body)
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(*KEYS), "ec2", REGION)
        right = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        return right == given[3]

    def DescribeAddresses(self, _):
        held = f"<instanceId>{self.server.owner}</instanceId>" if self.server.owner else ""
        return f"<addressesSet><item><publicIp>{ADDRESS}</publicIp><domain>standard</domain>{held}</item></addressesSet>"

    def AssociateAddress(self, parameters):
        self.server.owner = parameters["InstanceId"]
        return "<return>true</return>"

    def DisassociateAddress(self, _):
        self.server.owner = None
        return "<return>true</return>"

    def answer(self, status: int, body: str):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    with Service() as service:
        yield service
        service.shutdown()


def run(service: Service, root, path: str, action: str, secret: str = KEYS[1]) -> tuple[str, int]:
    done = subprocess.run(
        [PROGRAM, "--root", root, action], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
        env={"ELASTIC_IP": ADDRESS, "AWS_REGION": REGION, "MY_ID": INSTANCE, "EC2_ACCESS_KEY": KEYS[0], "EC2_SECRET_KEY": secret,
             "EC2_URL": f"http://127.0.0.1:{service.server_port}{path}"})
    return done.stdout, done.returncode


@pytest.mark.parametrize("path", ["/services/compute", "/services/compute/", "/services/Eucalyptus", ""])
def test_every_call_is_signed_for_the_path_that_it_is_sent_to(service, tmp_path, path):
    def says(action: str) -> tuple[str, int]:
        return run(service, tmp_path, path, action)

    assert says("status") == NOT_MINE
    assert says("stop") == (f"elastic-ip remapper: I do not have {ADDRESS}\n", 0)
    assert says("start") == (f"elastic-ip remapper: IP {ADDRESS} associated with {INSTANCE}\n", 0)
    assert says("status") == MINE
    assert says("stop") == (f"elastic-ip remapper: IP {ADDRESS} disowned\n", 0)
    assert says("status") == NOT_MINE
    assert {sent.rstrip("/") for sent, _, _ in service.asked} == {path.rstrip("/")}
    changes = [asked[1:] for asked in service.asked if asked[1] != "DescribeAddresses"]
    assert changes == [("AssociateAddress", {"PublicIp": ADDRESS, "InstanceId": INSTANCE}), ("DisassociateAddress", {"PublicIp": ADDRESS})]


def test_a_signature_by_another_secret_is_refused(service, tmp_path):
    assert run(service, tmp_path, "/services/compute", "status", "another-secret") == UNKNOWN
