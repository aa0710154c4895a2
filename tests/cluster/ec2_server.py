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
    slow            applied and answered `seconds` later
    held-before     applied and answered once the fault is lifted
    held-after      applied, and answered once the fault is lifted

`PUT /lateness` with `{"seconds": S, "replicas": N}` makes EC2 eventually consistent, as AWS says it is:
a change is made at once, but DescribeAddresses shows what was so S seconds ago. With two replicas or
more they answer in turn, and the first of them is never late. This is for everybody but this machine;
`sources` may say for whom. What was so before the request itself is never shown. `GET /lateness` tells
whether what is shown is by now what is so.
"""

import contextlib
import io
import itertools
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
PUNCTUAL = {"seconds": 0, "replicas": 1}
# More of an answer no reader of the journal needs.
ANSWER_LIMIT = 600


class Recorder:
    def __init__(self, moto, host: str, path: str):
        self.moto = moto
        self.host = host
        # Line-buffered, so that a reader never waits for a call that has been answered.
        self.file = open(path, "a", buffering=1)
        # moto moves an address in several steps, between which others would see half a move.
        self.one_at_a_time = threading.Lock()
        self.past = Past()
        self.be_late(PUNCTUAL)
        self.faults = []
        self.held = []
        self.changed = threading.Condition()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        controls = {"/faults": self.control_faults, "/lateness": self.control_lateness}
        if control := controls.get(environ["PATH_INFO"]):
            return control(Request(environ))(environ, start_response)
        call = dict(parse_qsl(body.decode(errors="replace")))
        if "Action" not in call:
            return self.moto(environ, start_response)
        return self.answer(environ, call)(environ, start_response)

    def control_faults(self, request: Request) -> Response:
        with self.changed:
            if request.method == "PUT":
                self.faults = request.get_json()
                self.changed.notify_all()
            return Response(json.dumps(self.held), mimetype="application/json")

    def control_lateness(self, request: Request) -> Response:
        with self.one_at_a_time:
            if request.method == "PUT":
                self.past = Past()
                self.be_late(request.get_json())
            shown = self.past.at(time.monotonic() - self.lateness["seconds"]) == associations()
            return Response(json.dumps({"shown": shown}), mimetype="application/json")

    def be_late(self, lateness: dict):
        self.lateness = lateness
        replicas = [lateness["seconds"]] * lateness["replicas"]
        if len(replicas) > 1:
            replicas[0] = 0
        self.replicas = itertools.cycle(replicas)

    def lateness_of(self, source: str, action: str) -> float:
        """How many seconds late the replica is that this call comes to."""
        met = source in self.lateness["sources"] if "sources" in self.lateness else source != self.host
        return next(self.replicas) if met and action == "DescribeAddresses" else 0

    def answer(self, environ, call: dict) -> Response:
        entry = {"began": time.monotonic(), "source": environ["REMOTE_ADDR"], "call": call}
        fault = self.meet(entry["source"], call["Action"])
        kind = fault and fault["kind"]
        if kind == "slow":
            time.sleep(fault["seconds"])
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
                late = self.lateness_of(entry["source"], call["Action"])
                with self.past.shown(time.monotonic() - late) if late else contextlib.nullcontext():
                    response = Response.from_app(self.moto, environ, buffered=True)
                self.past.note()
                entry |= {"before": before, "after": owners(), "late": late}
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


class Past:
    """What each address was associated with, and from when on."""

    def __init__(self):
        self.states = [(float("-inf"), associations())]

    def note(self):
        now = associations()
        if now != self.states[-1][1]:
            self.states.append((time.monotonic(), now))

    def at(self, when: float) -> dict[str, dict]:
        return next(state for since, state in reversed(self.states) if since <= when)

    @contextlib.contextmanager
    def shown(self, when: float):
        """moto answers as it would have done then: to be held only while nobody else asks it."""
        now, then = associations(), self.at(when)
        put(then)
        try:
            yield
        finally:
            put(now)


def addresses() -> list:
    return [address for backend in ec2_backends[DEFAULT_ACCOUNT_ID].values() for address in backend.addresses]


def associations() -> dict[str, dict]:
    """What moto knows of each address and a change of its association changes."""
    return {address.public_ip: {name: getattr(address, name) for name in ("instance", "eni", "association_id")}
            for address in addresses()}


def put(state: dict[str, dict]):
    for address in addresses():
        # One that was not allocated yet is shown as it is.
        vars(address).update(state.get(address.public_ip, {}))


def owners() -> dict[str, str | None]:
    """The instance that each address points to."""
    return {address.public_ip: address.instance_id or None for address in addresses()}


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
    run_simple(host, int(port), Recorder(moto, host, journal), threaded=True)


if __name__ == "__main__":
    main()
