"""EC2 for the bench: moto's server, and before it a recorder that can be at fault as well.

    ec2_server.py HOST PORT JOURNAL

moto answers. The journal tells which node called what, when it began and when it was answered (the
monotonic clock, which all processes of one machine share), what it was answered, and who had each
address just before and just after. One JSON object a line.

`PUT /faults` with a JSON list sets what goes wrong from then on; `GET /faults` lists the calls that
are held. A fault names the `sources` it is for; it may name the `actions`, and how many `times`.
Its `kind` is one of

    throttled       503 RequestLimitExceeded; not applied
    broken          500 InternalError; not applied
    revoked         401 AuthFailure; not applied
    silent          accepted and never answered; not applied
    lost            applied, but the connection is closed before the answer
    held-before     applied and answered once the fault is lifted
    held-after      applied, and answered once the fault is lifted
"""

import io
import json
import socket
import sys
import threading
import time
from urllib.parse import parse_qsl

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple
from werkzeug.wrappers import Request, Response

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
REFUSALS = {
    "throttled": (503, "RequestLimitExceeded", "Request limit exceeded."),
    "broken": (500, "InternalError", "An internal error has occurred"),
    "revoked": (401, "AuthFailure", "AWS was not able to validate the provided access credentials"),
}
# More of an answer no reader of the journal needs.
ANSWER_LIMIT = 600


class Recorder:
    def __init__(self, moto, path: str):
        self.moto = moto
        # Line-buffered, so that a reader never waits for a call that has been answered.
        self.file = open(path, "a", buffering=1)
        # moto moves an address in several steps, between which others would see half a move.
        self.one_at_a_time = threading.Lock()
        self.faults = []
        self.held = []
        self.changed = threading.Condition()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"] == "/faults":
            return self.control(Request(environ))(environ, start_response)
        call = dict(parse_qsl(body.decode(errors="replace")))
        if "Action" not in call:
            return self.moto(environ, start_response)
        return self.answer(environ, call)(environ, start_response)

    def control(self, request: Request) -> Response:
        with self.changed:
            if request.method == "PUT":
                self.faults = request.get_json()
                self.changed.notify_all()
            return Response(json.dumps(self.held), mimetype="application/json")

    def answer(self, environ, call: dict) -> Response:
        entry = {"began": time.monotonic(), "source": environ["REMOTE_ADDR"], "call": call}
        fault = self.meet(entry["source"], call["Action"])
        kind = fault and fault["kind"]
        if kind == "held-before":
            self.hold(fault, entry)
        if kind in REFUSALS:
            response = refusal(*REFUSALS[kind])
            applied = False
        elif kind == "silent":
            self.hold(fault, entry)
            response, applied = None, False
        else:
            with self.one_at_a_time:
                before = owners()
                response = Response.from_app(self.moto, environ, buffered=True)
                entry |= {"before": before, "after": owners()}
            applied = True
        answer = response and response.get_data(as_text=True)[:ANSWER_LIMIT]
        self.record(entry | {
            "time": time.monotonic(),
            "status": response.status_code if response else 0,
            "answer": answer or "",
            "fault": kind or "",
            "applied": applied,
        })
        if kind == "held-after":
            self.hold(fault, entry)
        if kind in ("lost", "silent"):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError(kind)
        return response

    def meet(self, source: str, action: str) -> dict | None:
        """The fault that this call meets."""
        with self.changed:
            for fault in self.faults:
                if source in fault["sources"] and action in (fault.get("actions") or [action]):
                    if "times" in fault:
                        if fault["times"] == 0:
                            continue
                        fault["times"] -= 1
                    return fault
        return None

    def hold(self, fault: dict, entry: dict):
        with self.changed:
            self.held.append(entry)
            self.changed.wait_for(lambda: fault not in self.faults)
            self.held.remove(entry)

    def record(self, entry: dict):
        with self.changed:
            self.file.write(json.dumps(entry) + "\n")


def owners() -> dict[str, str | None]:
    """The instance that each address points to."""
    return {address.public_ip: address.instance_id or None
            for backend in ec2_backends[DEFAULT_ACCOUNT_ID].values() for address in backend.addresses}


def refusal(status: int, code: str, message: str) -> Response:
    return Response(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        "<RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>",
        status, content_type="text/xml;charset=UTF-8")


def main():
    host, port, journal = sys.argv[1:]
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    moto = DomainDispatcherApplication(create_backend_app)
    run_simple(host, int(port), Recorder(moto, journal), threaded=True)


if __name__ == "__main__":
    main()
