"""Neuronpedia on loopback, and a clock that only sleeping moves."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Where the pages of the features of layers 1 and 3 would be.
SOURCES = {1: "gemma-2-2b/1-gemmascope-res-16k", 3: "gemma-2-2b/3-gemmascope-res-16k"}


def body(*descriptions, model="gpt-4o-mini"):
    """An answer of Neuronpedia with these explanations."""
    told = [
        {"description": one, "explanationModelName": model, "scores": []} for one in descriptions
    ]
    return json.dumps({"modelId": "gemma-2-2b", "explanations": told}).encode()


class Server:
    """Neuronpedia on loopback. `answers` come in turn; then each feature is `about N`."""

    def __init__(self):
        self.answers, self.asked = [], []

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.asked.append((self.path, dict(self.headers)))
                about = body(f"about {self.path.rsplit('/', 1)[1]}")
                status, data, *more = server.answers.pop(0) if server.answers else (200, about)
                if status is None:  # hangs up
                    self.close_connection = True
                    return
                self.send_response(status)
                for key, value in {"Content-Length": str(len(data)), **dict(*more)}.items():
                    self.send_header(key, value)
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
