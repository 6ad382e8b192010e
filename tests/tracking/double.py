"""A loopback double of the W&B server: enough of it for the real client to log online."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ANSWERS: dict[str, dict[str, Any]] = {
    "query Viewer": {"viewer": {"id": "u", "entity": "e", "username": "u", "flags": "{}"}},
    "query ArtifactType": {"project": {"artifact": None}},
    # COMMITTED: the server has it already, so nothing is uploaded.
    "mutation CreateArtifact ": {
        "createArtifact": {
            "artifact": {
                "id": "a",
                "state": "COMMITTED",
                "artifactSequence": {"latestArtifact": None},
            }
        }
    },
}


@dataclass
class Run:
    """What the server holds of a run."""

    upserts: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Double:
    """``mode``: ``ok``, ``error`` (500 to everything), ``hang`` (no answer while it lives),
    or ``refuse`` (rows are turned down with 400)."""

    mode: str = "ok"
    runs: dict[str, Run] = field(default_factory=dict)
    url: str = ""
    requests: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in query:
            return self.upsert(variables)
        if "createRunFiles" in query:
            return self.create_files(variables)
        if "historyTail" in query:
            return self.resume_status(variables["name"])
        return next((answer for asked, answer in _ANSWERS.items() if asked in query), {})

    def upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        new = name not in self.runs
        self.runs.setdefault(name, Run()).upserts.append(variables)
        bucket = dict.fromkeys(("id", "name", "displayName"), name) | {
            "config": "{}",
            "historyLineCount": 0,
            "project": {"name": "p", "entity": {"name": "e"}},
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def create_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["runName"] if "runName" in variables else variables["run"]
        files = [
            {"name": path, "uploadUrl": f"{self.url}/upload/{name}/{path}"}
            for path in variables["files"]
        ]
        return {"createRunFiles": {"runID": name, "uploadHeaders": [], "files": files}}

    def resume_status(self, name: str) -> dict[str, Any]:
        if name not in self.runs:
            return {"model": {"bucket": None}}
        run = self.runs[name]
        bucket = {
            "name": name,
            "historyLineCount": len(run.lines),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(line) for line in run.lines[-1:]]),
            "eventsTail": "[]",
            "summaryMetrics": json.dumps(run.summary),
            "config": "{}",
            "tags": [],
            "wandbConfig": '{"t": 1}',
        }
        return {"model": {"bucket": bucket}}

    def file_stream(self, name: str, body: dict[str, Any]) -> None:
        run = self.runs[name]
        files = body.get("files") or {}
        if chunk := files.get("wandb-history.jsonl"):
            run.lines[chunk["offset"] :] = [json.loads(line) for line in chunk["content"]]
        if chunk := files.get("wandb-summary.json"):
            run.summary = json.loads(chunk["content"][-1])
        if body.get("complete"):
            run.exit_code = body.get("exitcode")


class _Handler(BaseHTTPRequestHandler):
    double: Double

    def log_message(self, *_: object) -> None:
        """Requests are remembered in the double, not printed."""

    def answer(self, code: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client gave up waiting
            self.wfile.write(data)

    def handle_request(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.double.requests.append(f"{self.command} {self.path}")
        if self.double.mode == "hang":
            self.double.released.wait()
        if self.double.mode in ("error", "hang"):
            return self.answer(500, {"error": "out of order"})
        if match := re.fullmatch(r"/upload/([^/]+)/(.*)", self.path):
            self.double.runs[match[1]].files[match[2]] = data
        elif match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
            if self.double.mode == "refuse":
                return self.answer(400, {"error": "no"})
            self.double.file_stream(match[1], json.loads(data))
        elif self.path == "/graphql":
            request = json.loads(data)
            result = self.double.graphql(request["query"], request.get("variables") or {})
            return self.answer(200, {"data": result})
        return self.answer(200, {})


@contextlib.contextmanager
def serving() -> Iterator[Double]:
    """The double, listening on a free port of the loopback interface."""
    double = Double()
    methods = dict.fromkeys(("do_GET", "do_POST", "do_PUT"), _Handler.handle_request)
    handler = type("Handler", (_Handler,), {"double": double, **methods})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield double
    finally:
        double.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
