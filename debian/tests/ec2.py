#!/usr/bin/python3
"""An EC2 with one address: what a bare machine can run, where a real one would be moto.

`ec2.py FOLDER` writes its URL to FOLDER/url once it listens. It keeps the owner in FOLDER/owner; whoever writes another one there
makes a new association. With `--certificate FILE` and `--key FILE` it is asked by HTTPS, as localhost.
"""

import argparse
import hashlib
import http.server
import pathlib
import ssl
import urllib.parse

ALLOCATION = "eipalloc-0123456789abcdef0"
REFUSED = "<Response><Errors><Error><Code>AuthFailure</Code><Message>signature</Message></Error></Errors></Response>"


class Ec2(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder, is_classic=False, is_signed=lambda request, body: True):
        """`is_classic`: as it was without VPC, where addresses and associations have no ids. `is_signed` judges a request
        (http.server.BaseHTTPRequestHandler) and its body."""
        super().__init__(("127.0.0.1", 0), Api)
        self.owner_file = folder / "owner"
        self.is_classic = is_classic
        self.is_signed = is_signed
        # Path, action and parameters of each request.
        self.asked = []

    @property
    def owner(self):
        return self.owner_file.read_text() if self.owner_file.exists() else None

    @property
    def association(self):
        """Another one at each move, and never the same again."""
        made = hashlib.sha256(f"{self.owner} {self.owner_file.stat().st_mtime_ns}".encode())
        return f"eipassoc-{made.hexdigest()[:17]}"

    def use_tls(self, certificate, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self):
        is_tls = isinstance(self.socket, ssl.SSLSocket)
        return f"https://localhost:{self.server_port}" if is_tls else f"http://127.0.0.1:{self.server_port}"


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parameters = {name: values[0] for name, values in urllib.parse.parse_qs(body.decode()).items()}
        del parameters["Version"]
        action = parameters.pop("Action")
        self.server.asked.append((self.path, action, parameters))
        if not self.server.is_signed(self, body):
            self.answer(403, REFUSED)
            return
        content = getattr(self, action)(parameters)
        namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"
        self.answer(200, f'<{action}Response xmlns="{namespace}"><requestId>r-1</requestId>{content}</{action}Response>')

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def DescribeAddresses(self, parameters):
        ec2 = self.server
        ids = "" if ec2.is_classic else f"<allocationId>{ALLOCATION}</allocationId>"
        if ec2.owner:
            ids += f"<instanceId>{ec2.owner}</instanceId>"
            ids += "" if ec2.is_classic else f"<associationId>{ec2.association}</associationId>"
        domain = "standard" if ec2.is_classic else "vpc"
        address = parameters.get("PublicIp.1", "203.0.113.25")
        return f"<addressesSet><item><publicIp>{address}</publicIp><domain>{domain}</domain>{ids}</item></addressesSet>"

    def AssociateAddress(self, parameters):
        ec2 = self.server
        assert ec2.is_classic or parameters["AllocationId"] == ALLOCATION, parameters
        ec2.owner_file.write_text(parameters["InstanceId"])
        return "<return>true</return>" + ("" if ec2.is_classic else f"<associationId>{ec2.association}</associationId>")

    def DisassociateAddress(self, parameters):
        ec2 = self.server
        assert ec2.is_classic or parameters["AssociationId"] == ec2.association, parameters
        ec2.owner_file.unlink()
        return "<return>true</return>"

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    given = parser.parse_args()
    ec2 = Ec2(given.folder)
    if given.certificate:
        ec2.use_tls(given.certificate, given.key)
    made = given.folder / "url.new"
    made.write_text(ec2.url)
    made.rename(given.folder / "url")
    ec2.serve_forever()


if __name__ == "__main__":
    main()
