"""The instance metadata service of one instance, version 2 only: no answer without a token.

    metadata.py HOST PORT INSTANCE

INSTANCE is a JSON object with `instance_id`, `region`, `role`, the three `credentials` and a list
of `interfaces` (`mac`, `interface_id`, `device_number`, `private_ip`), the primary one first.
Paths, listings and codes are those of
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""

import datetime
import json
import secrets
import sys
import time

from flask import Flask, Response, abort, request
from werkzeug.serving import WSGIRequestHandler

LONGEST_TTL = 21600


def tree(instance: dict) -> dict:
    primary = instance["interfaces"][0]
    expiration = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=6)
    return {
        "instance-id": instance["instance_id"],
        "local-ipv4": primary["private_ip"],
        "mac": primary["mac"],
        "placement": {
            "availability-zone": instance["region"] + "a",
            "region": instance["region"],
        },
        "iam": {
            "security-credentials": {
                instance["role"]: json.dumps({
                    "Code": "Success",
                    "Type": "AWS-HMAC",
                    "AccessKeyId": instance["credentials"]["access_key_id"],
                    "SecretAccessKey": instance["credentials"]["secret_access_key"],
                    "Token": instance["credentials"]["session_token"],
                    "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }),
            },
        },
        "network": {
            "interfaces": {
                "macs": {
                    interface["mac"]: {
                        "device-number": str(interface["device_number"]),
                        "interface-id": interface["interface_id"],
                        "local-ipv4s": interface["private_ip"],
                        "mac": interface["mac"],
                    }
                    for interface in instance["interfaces"]
                },
            },
        },
    }


def service(instance: dict) -> Flask:
    app = Flask(__name__)
    tokens: dict[str, float] = {}
    data = tree(instance)

    @app.before_request
    def refuse_proxies():
        if "X-Forwarded-For" in request.headers:
            abort(403)

    @app.put("/latest/api/token")
    def token():
        ttl = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not ttl.isdigit() or not 1 <= int(ttl) <= LONGEST_TTL:
            abort(400)
        made = secrets.token_urlsafe(42)
        tokens[made] = time.monotonic() + int(ttl)
        return text(made, {"X-aws-ec2-metadata-token-ttl-seconds": ttl})

    @app.get("/latest/meta-data/", defaults={"path": ""})
    @app.get("/latest/meta-data/<path:path>")
    def meta_data(path):
        presented = request.headers.get("X-aws-ec2-metadata-token", "")
        if tokens.get(presented, 0) < time.monotonic():
            abort(401)
        found = data
        for name in filter(None, path.split("/")):
            if not isinstance(found, dict) or name not in found:
                abort(404)
            found = found[name]
        if isinstance(found, str):
            return text(found)
        # A role is listed by its bare name, every other folder with a slash.
        return text("\n".join(
            name + ("/" if isinstance(below, dict) else "") for name, below in found.items()))

    return app


def text(body: str, headers: dict | None = None) -> Response:
    return Response(body, mimetype="text/plain", headers=headers)


def main():
    host, port, instance = sys.argv[1:]
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    service(json.loads(instance)).run(host=host, port=int(port), threaded=True)


if __name__ == "__main__":
    main()
