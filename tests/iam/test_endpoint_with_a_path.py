"""A service below a path, as Eucalyptus is: each request's signature is right for the path that it is sent to.

moto serves no such path, so the requests are checked with botocore's own signer.
"""

import re
import subprocess
import sys
import threading

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from test_policy import ADDRESS, MINE, NOT_MINE, PROGRAM, REGION, REPOSITORY, UNKNOWN

sys.path.append(str(REPOSITORY / "debian/tests"))
from ec2 import Ec2  # noqa: E402

KEYS = ("AKIDEUCALYPTUS", "not-a-real-secret")
INSTANCE = "i-4d2b6f0a"


def is_signed(request, body: bytes) -> bool:
    given = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=(\w+)", request.headers["Authorization"])
    headers = {name: request.headers[name] for name in given[2].split(";")}
    again = botocore.awsrequest.AWSRequest("POST", f"http://{request.headers['Host']}{request.path}", headers, body)
    again.context["timestamp"] = request.headers["X-Amz-Date"]
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(*KEYS), "ec2", REGION)
    right = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    return right == given[3]


@pytest.fixture
def service(tmp_path):
    (tmp_path / "owner").write_text("i-5b1c0e9f")
    with Ec2(tmp_path, is_classic=True, is_signed=is_signed) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield service
        service.shutdown()


def run(service: Ec2, root, path: str, action: str, secret: str = KEYS[1]) -> tuple[str, int]:
    done = subprocess.run(
        [PROGRAM, "--root", root, action], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
        env={"ELASTIC_IP": ADDRESS, "AWS_REGION": REGION, "MY_ID": INSTANCE, "EC2_ACCESS_KEY": KEYS[0], "EC2_SECRET_KEY": secret,
             "EC2_URL": service.url + path})
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
