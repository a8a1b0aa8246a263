"""As much of a W&B server as the real client needs, on the loopback interface: it keeps what it is sent."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

FILES = {"wandb-history.jsonl": "history", "wandb-summary.json": "summary"}


class Server(ThreadingHTTPServer):
    """Keeps runs, files, artifacts and views; one that hangs answers only once `release` is set.

    `hangs`: "" (never), "rows" (where rows are sent), "all"; "refuses": it answers, but takes no key.
    """

    daemon_threads = True

    def __init__(self, hangs="", port=0):
        super().__init__(("127.0.0.1", port), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.runs = {}
        self.files = {}
        self.artifacts = []
        self.projects = set()
        self.views = {}
        self.asked = []
        self.bodies = []
        self.hangs = hangs
        self.lock = threading.Lock()
        self.release = threading.Event()
        if not hangs:
            self.release.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Nothing: a client that went away is no defect of the server."""

    @property
    def history(self):
        """The rows of all runs."""
        return [row for run in self.runs.values() for row in run["history"]]

    def rows(self, run_id):
        """The rows of one run, without the columns that the client adds."""
        return [{k: v for k, v in row.items() if k[0] != "_"} for row in self.runs[run_id]["history"]]

    def config(self, run_id):
        """The config of one run, without what the client adds."""
        stored = json.loads(self.runs[run_id]["config"])
        return {key: item["value"] for key, item in stored.items() if key != "_wandb"}

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
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        streams = self.path.endswith("/file_stream")
        if self.server.hangs == "refuses":
            self.reply({"errors": [{"message": "user is not logged in"}]}, 401)
            return
        if self.server.hangs == "all" or (streams and self.server.hangs):
            self.server.release.wait(60)
            self.close_connection = True  # by then nobody waits for an answer; what it asked for is not done
            return
        with self.server.lock:
            self.server.bodies.append(body)
            if self.path == "/graphql":
                self.reply({"data": self.data(json.loads(body))})
                return
            if streams:
                self.take_rows(unquote(self.path).split("/")[-2], json.loads(body))
            elif self.path.startswith("/storage/"):
                self.server.files[unquote(self.path.removeprefix("/storage/"))] = body
            self.reply({})

    do_PUT = do_POST  # noqa: N815 (the name that http.server looks for)

    def take_rows(self, name, body):
        run = self.server.runs[name]
        for file, content in body.get("files", {}).items():
            if FILES.get(file) == "history":
                first, lines = content["offset"], [json.loads(line) for line in content["content"]]
                run["history"][first : first + len(lines)] = lines
            elif FILES.get(file) == "summary":
                run["summary"] = content["content"][-1]
        if body.get("complete"):
            run["exit_code"] = body.get("exitcode")

    def data(self, request):
        query, variables = request["query"], request.get("variables") or {}
        operation = query.split("{")[0].split("(")[0].split()[1]
        self.server.asked.append(operation)
        answer = getattr(self, f"on_{operation}", None)
        return answer(variables) if answer else {}

    def on_Viewer(self, variables):  # noqa: N802 (names of W&B's operations)
        viewer = {"id": "t", "entity": "tester", "username": "tester", "flags": "{}", "name": "t", "admin": False}
        teams = {"edges": [{"node": {"name": "tester"}}]}
        return {"viewer": viewer | {"email": "t@example.org", "teams": teams, "apiKeys": {"edges": []}}}

    def on_UpsertBucket(self, variables):  # noqa: N802
        name = variables["name"]
        known = name in self.server.runs
        run = self.server.runs.setdefault(name, {"history": [], "summary": "{}", "config": "{}"})
        run |= {key: value for key, value in variables.items() if value is not None}
        bucket = {
            "id": f"b-{name}",
            "name": name,
            "displayName": run.get("displayName", name),
            "config": run["config"],
            "project": project(run),
            "historyLineCount": len(run["history"]),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": not known}}

    def on_RunResumeStatus(self, variables):  # noqa: N802
        run = self.server.runs.get(variables["name"])
        if run is None:
            return {"model": project(variables) | {"bucket": None}}
        bucket = {
            "id": f"b-{variables['name']}",
            "name": variables["name"],
            "summaryMetrics": run["summary"],
            "displayName": run.get("displayName"),
            "logLineCount": 0,
            "historyLineCount": len(run["history"]),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in run["history"][-1:]]),
            "eventsTail": "[]",
            "config": run["config"],
            "tags": run.get("tags") or [],
            "notes": None,
            "wandbConfig": '{"t": 1}',
        }
        return {"model": project(run) | {"bucket": bucket}}

    def on_CreateRunFiles(self, variables):  # noqa: N802
        at = f"{self.server.url}/storage/{variables['run']}"
        listed = [{"name": name, "uploadUrl": f"{at}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": listed}}

    def on_ArtifactType(self, variables):  # noqa: N802
        return {"project": {"artifact": None}}

    def on_CreateArtifact(self, variables):  # noqa: N802
        given = variables["input"]
        self.server.artifacts.append(given)
        artifact = {"id": f"a{len(self.server.artifacts)}", "state": "PENDING", "digest": given.get("digest")}
        return {
            "createArtifact": {"artifact": artifact | {"artifactSequence": {"id": "s", "latestArtifact": None}}}
        }

    def on_CreateArtifactManifest(self, variables):  # noqa: N802
        file = {"id": "f", "uploadHeaders": [], "uploadUrl": f"{self.server.url}/storage/{variables['artifactID']}"}
        return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}

    def on_CreateArtifactFiles(self, variables):  # noqa: N802
        nodes = [
            {
                "storagePath": file["name"],
                "uploadUrl": f"{self.server.url}/storage/{file['artifactID']}/{file['name']}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": file["artifactID"]},
            }
            for file in variables.get("input", variables)["artifactFiles"]
        ]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def on_CommitArtifact(self, variables):  # noqa: N802
        return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": "d"}}}

    def on_ProjectInternalId(self, variables):  # noqa: N802
        return {"project": {"internalId": "UHJvamVjdEludGVybmFsSWQ6MQ=="}}

    def on_GetDefaultEntity(self, variables):  # noqa: N802
        return {"viewer": {"id": "t", "entity": "tester"}}

    def on_GetProjects(self, variables):  # noqa: N802
        own = {"createdAt": "2026-01-01T00:00:00", "isBenchmark": False, "user": None, "__typename": "Project"}
        names = {run.get("project") or "rl_warmup" for run in self.server.runs.values()} | self.server.projects
        edges = [{"node": project({"project": name}) | own, "cursor": name} for name in sorted(names)]
        return {"models": {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": edges}}

    def on_CreateProject(self, variables):  # noqa: N802
        self.server.projects.add(variables["input"]["name"])
        made = project({"project": variables["input"]["name"]}) | dict.fromkeys(["description", "access", "views"])
        return {"result": {"project": made, "model": made, "inserted": True}}

    def on_UpsertView2(self, variables):  # noqa: N802
        return {"upsertView": self.take_view(variables)}

    def on_upsertView(self, variables):  # noqa: N802
        return {"upsertView": self.take_view(variables)}

    def take_view(self, variables):
        key = variables.get("id") or f"v{len(self.server.views)}"
        known = key in self.server.views
        self.server.views[key] = variables
        view = {"id": key, "name": variables.get("name"), "displayName": variables.get("displayName")}
        view |= {"type": variables.get("type"), "description": "", "spec": variables.get("spec")}
        return {"view": view | {"project": project({})}, "inserted": not known}

    def on_SpecificReport(self, variables):  # noqa: N802
        view = self.server.views.get(variables["reportId"])
        return {"view": view and {"id": variables["reportId"]} | view}

    def reply(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def project(about):
    """A project in the server's words."""
    entity = {"id": "e", "name": about.get("entity") or "tester"}
    return {"id": "p", "name": about.get("project") or "rl_warmup", "entityName": entity["name"], "entity": entity}
