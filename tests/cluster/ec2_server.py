"""EC2 for the bench: moto's server, and a journal of every call it was sent.

    ec2_server.py HOST PORT JOURNAL

moto answers; the journal only tells which node called what, when (the monotonic clock, which all
processes of one machine share), and with which HTTP status it was answered. One JSON object a line.
"""

import io
import json
import sys
import time
from urllib.parse import parse_qsl

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple


class Journal:
    def __init__(self, answering, path: str):
        self.answering = answering
        # Line-buffered, so that a reader never waits for a call that has been answered.
        self.file = open(path, "a", buffering=1)

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        call = dict(parse_qsl(body.decode(errors="replace")))

        def journalled(status, headers, *failure):
            if "Action" in call:
                self.file.write(json.dumps({
                    "time": time.monotonic(),
                    "source": environ["REMOTE_ADDR"],
                    "status": int(status.split()[0]),
                    "call": call,
                }) + "\n")
            return start_response(status, headers, *failure)

        return self.answering(environ, journalled)


def main():
    host, port, journal = sys.argv[1:]
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    moto = DomainDispatcherApplication(create_backend_app)
    run_simple(host, int(port), Journal(moto, journal), threaded=True)


if __name__ == "__main__":
    main()
