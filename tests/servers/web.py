"""A web server for tests: files, git over HTTP, a model API.

Usage: web.py ADDRESS PORT ROOT [CERTIFICATE KEY]. Writes "ready" when it listens, then every request
as a line of JSON, before it is answered.
"""

import base64
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading

address, port, root = sys.argv[1], int(sys.argv[2]), sys.argv[3]
log_lock = threading.Lock()


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args):
        super().__init__(*args, directory=root)

    def log_message(self, *_):
        pass

    def record(self):
        seen = {"method": self.command, "path": self.path, "headers": dict(self.headers.items())}
        with log_lock:
            print(json.dumps(seen), flush=True)

    def answer(self, status, kind, body, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            whole = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        self.record()
        if ".git/" in self.path:
            return self.git(b"")
        if self.path.startswith("/v1/models"):
            echoed = self.headers.get("x-api-key", "")
            return self.answer(200, "application/json", b'{"data":[]}', X_Echo="key " + echoed)
        if self.path.startswith("/zeros/"):
            return self.zeros(int(self.path.split("/")[2]))
        super().do_GET()

    def do_POST(self):
        self.record()
        body = self.body()
        if ".git/" in self.path:
            return self.git(body)
        if self.path == "/v1/messages":
            return self.messages(json.loads(body))
        self.answer(404, "text/plain", b"nothing here\n")

    def zeros(self, count):
        self.send_response(200)
        self.send_header("Content-Length", str(count))
        self.end_headers()
        block = bytes(1 << 20)
        while count > 0:
            self.wfile.write(block[: min(count, len(block))])
            count -= len(block)

    def messages(self, asked):
        usage = {"input_tokens": 11, "output_tokens": 7}
        if not asked.get("stream"):
            return self.answer(200, "application/json", json.dumps({"usage": usage}).encode())
        events = [
            {"type": "message_start", "message": {"usage": {"input_tokens": 11, "output_tokens": 1}}},
            {"type": "message_delta", "usage": {"output_tokens": 7}},
        ]
        text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        self.answer(200, "text/event-stream", text.encode())

    def git(self, body):
        """Asks for the one password there is, then lets git answer."""
        given = self.headers.get("Authorization", "")
        wanted = os.environ.get("GIT_PASSWORD")
        if wanted and given != "Basic " + base64.b64encode(f"bot:{wanted}".encode()).decode():
            return self.answer(401, "text/plain", b"", WWW_Authenticate='Basic realm="git"')
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "REMOTE_USER": "bot",
            "REMOTE_ADDR": "127.0.0.1",
        }
        for name in ["Git-Protocol", "Content-Encoding"]:
            if name in self.headers:
                environment["HTTP_" + name.upper().replace("-", "_")] = self.headers[name]
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        kind = headers.pop("Content-Type", "text/plain")
        self.answer(status, kind, content, **{name.replace("-", "_"): value for name, value in headers.items()})


server = http.server.ThreadingHTTPServer((address, port), Handler)
server.daemon_threads = True
if len(sys.argv) > 4:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
