"""A loopback double of the W&B server: enough of it for the real client to log online."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.tracking.double_artifacts import UPLOAD, Artifacts

_ANSWERS: dict[str, dict[str, Any]] = {
    "query GetDefaultEntity": {"viewer": {"id": "u", "entity": "e"}},
    "query Viewer": {"viewer": {"id": "u", "entity": "e", "username": "u", "flags": "{}"}},
}
FAULTS = ("limit", "error", "hang", "lost", "refuse", "gone")
"""``limit``: 429 to everything. ``error``: 500 to everything. ``hang``: accepts and never answers.
``lost``: takes what is sent, and never answers. ``refuse``: turns rows down with 400. ``gone``:
nobody listens."""
_CODES = {"limit": 429, "error": 500, "hang": 500}


def _nothing() -> None:
    """Nobody listens, so nothing is to be stopped."""


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
    """``mode``: ``ok`` or one of ``FAULTS``; ``gone`` needs ``fault`` and ``heal``."""

    mode: str = "ok"
    runs: dict[str, Run] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=Artifacts)
    url: str = ""
    requests: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    handler: type[BaseHTTPRequestHandler] = BaseHTTPRequestHandler
    port: int = 0
    stop: Callable[[], None] = _nothing

    def listen(self) -> None:
        """Answers on the loopback interface, on the same port each time."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), self.handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        self.url = self.artifacts.url = f"http://127.0.0.1:{self.port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.server_close()
            self.stop = _nothing

        self.stop = stop

    def fault(self, mode: str) -> None:
        """From now on the server is out of order."""
        self.mode = mode
        if mode == "gone":
            self.stop()

    def heal(self) -> None:
        """The server is well again; connections that hung are ended without an answer."""
        was, self.mode = self.mode, "ok"
        self.released.set()
        self.released = threading.Event()
        if was == "gone":
            self.listen()

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if (answer := self.artifacts.graphql(query, variables)) is not None:
            return answer
        if "upsertBucket" in query:
            return self.upsert(variables)
        if "createRunFiles" in query:
            return self.create_files(variables)
        if "runs(filters" in query:
            return self.listed(json.loads(variables["filters"])["name"]["$in"])
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

    def listed(self, wanted: list[str]) -> dict[str, Any]:
        """The project's runs of these names, as ``wandb.Api().runs`` asks for them."""
        nodes = [
            {
                **dict.fromkeys(("id", "name", "displayName"), name),
                "state": "running" if run.exit_code is None else "finished",
                "summaryMetrics": json.dumps(run.summary),
                "historyLineCount": len(run.lines),
                "config": "{}",
                "tags": [],
                "user": {"name": "u", "username": "u"},
            }
            for name, run in self.runs.items()
            if name in wanted
        ]
        page = {"endCursor": None, "hasNextPage": False}
        runs = {"edges": [{"node": node, "cursor": "c"} for node in nodes], "pageInfo": page}
        known = {"internalId": "1", "runCount": len(nodes), "readOnly": False, "runs": runs}
        return {"project": known if self.runs else None}

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
        mode, released = self.double.mode, self.double.released
        if mode in _CODES:
            if mode == "hang":
                released.wait()
            return self.answer(_CODES[mode], {"error": "out of order"})
        code, body = self.take(data, mode)
        if mode == "lost":
            released.wait()
            self.close_connection = True
            return None
        return self.answer(code, body)

    def take(self, data: bytes, mode: str) -> tuple[int, object]:
        """What follows from the request, and the answer to it."""
        if match := UPLOAD.fullmatch(self.path):
            self.double.artifacts.take(match[1], match[2], data)
        elif match := re.fullmatch(r"/upload/([^/]+)/(.*)", self.path):
            self.double.runs[match[1]].files[match[2]] = data
        elif match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
            if mode == "refuse":
                return 400, {"error": "no"}
            self.double.file_stream(match[1], json.loads(data))
        elif self.path == "/graphql":
            request = json.loads(data)
            result = self.double.graphql(request["query"], request.get("variables") or {})
            return 200, {"data": result}
        return 200, {}


@contextlib.contextmanager
def serving() -> Iterator[Double]:
    """The double, listening on a free port of the loopback interface."""
    double = Double()
    methods = dict.fromkeys(("do_GET", "do_POST", "do_PUT"), _Handler.handle_request)
    double.handler = type("Handler", (_Handler,), {"double": double, **methods})
    double.listen()
    try:
        yield double
    finally:
        double.released.set()
        double.stop()
