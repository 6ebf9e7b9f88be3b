"""The fake's files and batches."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from tests.fakes.openai_server import FakeOpenAI


class Batches:
    """Files and batches as the provider keeps them, for as long as the process lives."""

    def __init__(self, server: FakeOpenAI) -> None:
        self._server = server
        self.files: dict[str, dict[str, Any]] = {}
        self._contents: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.submitted: Counter[str] = Counter()
        """Batches created, by the intent in their metadata."""
        self.lines: Counter[str] = Counter()
        """Lines accepted, by custom_id."""
        self._number = 0
        self._working: set[asyncio.Task[None]] = set()

    def add_routes(self, app: web.Application, base: str) -> None:
        """Serve below `base`."""
        app.router.add_post(f"{base}/files", self._upload)
        app.router.add_get(f"{base}/files", self._list_files)
        app.router.add_get(f"{base}/files/{{id}}", self._file)
        app.router.add_get(f"{base}/files/{{id}}/content", self._content)
        app.router.add_delete(f"{base}/files/{{id}}", self._delete)
        app.router.add_post(f"{base}/batches", self._create)
        app.router.add_get(f"{base}/batches", self._list_batches)
        app.router.add_get(f"{base}/batches/{{id}}", self._batch)
        app.router.add_post(f"{base}/batches/{{id}}/cancel", self._cancel)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        upload = form["file"]
        assert isinstance(upload, web.FileField)
        return _json(self._keep(upload.file.read(), upload.filename, str(form["purpose"])))

    def _keep(self, content: bytes, name: str, purpose: str) -> dict[str, Any]:
        self._number += 1
        file_id = f"file-{self._number}"
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": 1_790_000_000 + self._number,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        self._contents[file_id] = content
        self._server.log(event="file", id=file_id, bytes=len(content))
        return self.files[file_id]

    async def _list_files(self, _request: web.Request) -> web.Response:
        return _json({"object": "list", "data": list(self.files.values()), "has_more": False})

    async def _file(self, request: web.Request) -> web.Response:
        file = self.files.get(request.match_info["id"])
        return _json(file) if file else _missing()

    async def _content(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in self._contents:
            return _missing()
        return web.Response(body=self._contents[request.match_info["id"]], content_type="application/octet-stream")

    async def _delete(self, request: web.Request) -> web.Response:
        file_id = request.match_info["id"]
        if self.files.pop(file_id, None) is None:
            return _missing()
        del self._contents[file_id]
        self._server.log(event="file deleted", id=file_id)
        return _json({"id": file_id, "object": "file", "deleted": True})

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["input_file_id"] not in self._contents:
            return _missing()
        self._number += 1
        batch = {
            "id": f"batch_{self._number}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "status": "validating",
            "created_at": 1_790_000_000 + self._number,
            "metadata": asked.get("metadata") or {},
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
        }
        self.batches[batch["id"]] = batch
        self.submitted[batch["metadata"].get("radvlm", "")] += 1
        self._server.log(event="batch", id=batch["id"], metadata=batch["metadata"])
        work = asyncio.create_task(self._work(batch, self._contents[asked["input_file_id"]]))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        return _json(batch)

    async def _list_batches(self, request: web.Request) -> web.Response:
        newest_first = list(reversed(self.batches.values()))
        after, limit = request.query.get("after"), int(request.query.get("limit", 20))
        names = [batch["id"] for batch in newest_first]
        start = names.index(after) + 1 if after in names else 0
        page = newest_first[start : start + limit]
        return _json({"object": "list", "data": page, "has_more": start + limit < len(names)})

    async def _batch(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        return _json(batch) if batch else _missing()

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        batch["status"] = "cancelled"
        return _json(batch)

    async def _work(self, batch: dict[str, Any], content: bytes) -> None:
        behaviour = self._server.behaviour
        lines = [orjson.loads(line) for line in content.splitlines() if line]
        names = [line["custom_id"] for line in lines]
        problem = None
        if len(names) != len(set(names)):
            problem = "duplicate_custom_id"
        elif len({line["body"]["model"] for line in lines}) != 1:
            problem = "model_mismatch"
        elif len(lines) > behaviour.batch_lines:
            problem = "too_many_tasks"
        if problem:
            batch["status"] = "failed"
            batch["errors"] = {"object": "list", "data": [{"code": problem, "message": "", "line": 1}]}
            return
        self.lines.update(names)
        for status in ("in_progress", "finalizing"):
            batch["status"] = status
            await asyncio.sleep(behaviour.batch_seconds / 2)
        good, bad = self._answer(lines)
        batch["output_file_id"] = self._keep(good, "output.jsonl", "batch_output")["id"] if good else None
        batch["error_file_id"] = self._keep(bad, "errors.jsonl", "batch_output")["id"]
        batch["status"] = "completed"

    def _answer(self, lines: list[dict[str, Any]]) -> tuple[bytes, bytes]:
        """The output and the error file; neither in the order of the input."""
        from tests.fakes.openai_server import content_filter_error

        good, bad = [], []
        random.Random(len(lines)).shuffle(lines)
        for line in lines:
            chance = random.Random(line["custom_id"]).random()
            final = self._server.behaviour.faults.final(line["custom_id"])
            if chance < self._server.behaviour.batch_error_share and self.lines[line["custom_id"]] == 1:  # at first
                body, status, out = {"error": {"code": "server_error", "message": ""}}, 500, bad
            elif final == "content filter":
                body, status, out = content_filter_error(), 400, bad
            else:
                body, status, out = self._server.completion(line["body"], final=final), 200, good
            response = {"status_code": status, "request_id": "r", "body": body}
            out.append({"id": "b", "custom_id": line["custom_id"], "response": response, "error": None})
        return b"".join(orjson.dumps(x) + b"\n" for x in good), b"".join(orjson.dumps(x) + b"\n" for x in bad)


def _json(document: Any) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")


def _missing() -> web.Response:
    error = {"message": "No such object", "type": "invalid_request_error", "param": "id", "code": None}
    return web.Response(status=404, body=orjson.dumps({"error": error}), content_type="application/json")
