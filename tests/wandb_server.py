"""As much of a W&B server as the real client needs to be online, on the loopback interface."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Keeps the history rows that it is sent; one that hangs takes them only once `release` is set."""

    daemon_threads = True

    def __init__(self, hangs=False):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.history = []
        self.release = threading.Event()
        if not hangs:
            self.release.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.release.set()
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/graphql":
            self.reply(self.data(json.loads(body)))
            return
        if self.path.endswith("/file_stream"):
            self.server.release.wait(60)
            history = json.loads(body).get("files", {}).get("wandb-history.jsonl", {"content": []})
            self.server.history += [json.loads(line) for line in history["content"]]
        self.reply({})

    do_PUT = do_POST  # noqa: N815 (the name that http.server looks for)

    def data(self, request):
        variables = request["variables"]
        if "UpsertBucket" in request["query"]:
            project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "tester"}}
            bucket = {"id": "b", "name": variables["name"], "config": "{}", "project": project}
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
        if "CreateRunFiles" in request["query"]:
            listed = [{"name": name, "uploadUrl": self.server.url} for name in variables["files"]]
            return {"data": {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": listed}}}
        return {"data": {"viewer": {"id": "t", "entity": "tester", "username": "tester", "flags": "{}"}}}

    def reply(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
