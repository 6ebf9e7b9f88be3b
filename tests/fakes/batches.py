"""The fake's files and batches: kept for as long as the process lives."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from tests.fakes.faults import content_filter_error, disconnect, is_azure, refuse, request_key, respond

if TYPE_CHECKING:
    from tests.fakes.openai_server import FakeOpenAI

ENDS = ("completed", "failed", "expired")
"""How a batch may end by itself; in all but the first, half of its lines are answered."""
_BEGUN = 1_790_000_000
_LINES_AT_ONCE = 100
_EXPIRED = {
    "code": "batch_expired",
    "message": "This request could not be executed before the completion window expired.",
}


class Batches:
    """Files and batches of one server."""

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
        self._working: dict[str, asyncio.Task[None]] = {}

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

    async def stop(self) -> None:
        """Give up what is at work."""
        for work in self._working.values():
            work.cancel()
        await asyncio.gather(*self._working.values(), return_exceptions=True)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        upload, purpose = form.get("file"), form.get("purpose")
        if not isinstance(upload, web.FileField) or not isinstance(purpose, str):
            return refuse(400, None, "A file and a purpose are needed.", parameter="file")
        content = upload.file.read()
        if len(content) > self._server.behaviour.batch_bytes:
            return refuse(400, "file_too_large", "The file is larger than the limit.", parameter="file")
        return await self._reply(request, self._keep(content, upload.filename, purpose))

    def _keep(self, content: bytes, name: str, purpose: str) -> dict[str, Any]:
        self._number += 1
        file_id = f"file-{self._number}"
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": _BEGUN + self._number,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        self._contents[file_id] = content
        self._server.log(event="file", id=file_id, bytes=len(content))
        return self.files[file_id]

    async def _list_files(self, request: web.Request) -> web.Response:
        purpose = request.query.get("purpose")
        return _page(request, (f for f in self.files.values() if purpose in (None, f["purpose"])), limit=10_000)

    async def _file(self, request: web.Request) -> web.Response:
        file = self.files.get(request.match_info["id"])
        return respond(file) if file else _missing(request)

    async def _content(self, request: web.Request) -> web.Response:
        content = self._contents.get(request.match_info["id"])
        if content is None:
            return _missing(request)
        return web.Response(body=content, content_type="application/octet-stream")

    async def _delete(self, request: web.Request) -> web.Response:
        file_id = request.match_info["id"]
        if self.files.pop(file_id, None) is None:
            return _missing(request)
        del self._contents[file_id]
        self._server.log(event="file deleted", id=file_id)
        return respond({"id": file_id, "object": "file", "deleted": True})

    async def _create(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        content = self._contents.get(asked["input_file_id"])
        if content is None:
            return refuse(400, "invalid_file_id", "No such file.", parameter="input_file_id")
        batch = self._new(asked)
        lines = [line for line in content.splitlines() if line]
        self._server.log(event="batch", id=batch["id"], metadata=batch["metadata"], lines=len(lines))
        work = asyncio.create_task(self._work(batch, lines, errors_always=is_azure(request)))
        self._working[batch["id"]] = work
        work.add_done_callback(lambda _work: self._working.pop(batch["id"]))
        if self._server.behaviour.dies_on_submission:
            self._server.behaviour.down = True
        return await self._reply(request, batch)

    async def _reply(self, request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        """Tell what was done, unless that reply is to get lost."""
        told = self._server.behaviour
        if not told.down and told.lost_replies <= 0:
            return respond(document)
        told.lost_replies -= 1
        return await disconnect(request)

    def _new(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        batch = {
            "id": f"batch_{self._number}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "status": "validating",
            "created_at": _BEGUN + self._number,
            "metadata": asked.get("metadata") or {},
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }
        self.batches[batch["id"]] = batch
        self.submitted[batch["metadata"].get("radvlm", "")] += 1
        return batch

    async def _list_batches(self, request: web.Request) -> web.Response:
        return _page(request, reversed(self.batches.values()), limit=20)

    async def _batch(self, request: web.Request) -> web.Response:
        if self._server.behaviour.outages > 0:
            self._server.behaviour.outages -= 1
            return refuse(503, "planted", "planted")
        batch = self.batches.get(request.match_info["id"])
        return respond(batch) if batch else _missing(request)

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _missing(request)
        if batch["id"] not in self._working:
            return refuse(409, None, f"Cannot cancel a batch with status '{batch['status']}'.")
        self._working[batch["id"]].cancel()
        batch["status"] = "cancelled"
        return respond(batch)

    async def _work(self, batch: dict[str, Any], content: list[bytes], *, errors_always: bool) -> None:
        behaviour = self._server.behaviour
        end = behaviour.batch_end
        pause = behaviour.batch_seconds / 3
        await asyncio.sleep(pause)
        lines, problem = _validate(content, behaviour.batch_lines)
        if problem is not None:
            batch |= {"status": "failed", "errors": _errors(problem)}
            return
        for line in lines:
            self.lines[line["custom_id"]] += 1
            self._server.keep_body(line["body"])
        batch |= {"status": "in_progress"}
        batch["request_counts"]["total"] = len(lines)
        await asyncio.sleep(pause)
        good, bad = await self._answer(lines, end)
        batch["status"] = "finalizing"
        await asyncio.sleep(pause)
        if good:
            batch["output_file_id"] = self._keep(b"".join(good), "output.jsonl", "batch_output")["id"]
        if bad or errors_always:
            batch["error_file_id"] = self._keep(b"".join(bad), "errors.jsonl", "batch_output")["id"]
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        if end == "failed":
            batch["errors"] = _errors("internal_error")
        batch["status"] = end

    async def _answer(self, lines: list[dict[str, Any]], end: str) -> tuple[list[bytes], list[bytes]]:
        """The lines of output and error file, neither in the order of the input; half, unless all can be completed."""
        answered = len(lines) if end == "completed" else len(lines) // 2
        good: list[bytes] = []
        bad: list[bytes] = []
        random.Random(len(lines)).shuffle(lines)
        for number, line in enumerate(lines):
            if number % _LINES_AT_ONCE == 0:
                await asyncio.sleep(0)  # others are served meanwhile
            told: dict[str, Any] = {"id": f"batch_req_{number}", "custom_id": line["custom_id"]}
            if number < answered:
                status, body = self._answer_line(line)
                told |= {
                    "response": {"status_code": status, "request_id": f"req_{number}", "body": body},
                    "error": None,
                }
            elif end == "expired":
                status, told = 0, told | {"response": None, "error": _EXPIRED}
            else:
                break  # a failed batch does not tell of the rest
            (good if status == 200 else bad).append(orjson.dumps(told) + b"\n")
        return good, bad

    def _answer_line(self, line: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        first = self.lines[line["custom_id"]] == 1
        if first and random.Random(line["custom_id"]).random() < self._server.behaviour.batch_error_share:
            return 500, {"error": {"message": "planted", "type": "server_error", "param": None, "code": "server_error"}}
        final = self._server.behaviour.faults.final(request_key(line["body"]))
        if final == "content filter":
            return 400, content_filter_error()
        return 200, self._server.completion(line["body"], final)


def _validate(content: list[bytes], most: int) -> tuple[list[dict[str, Any]], str | None]:
    """The requests of an input file, and what is wrong with them."""
    if not content:
        return [], "empty_file"
    if len(content) > most:
        return [], "too_many_tasks"
    try:
        lines = [orjson.loads(line) for line in content]
    except orjson.JSONDecodeError:  # a byte order mark is one, too
        return [], "invalid_json_line"
    if len({line["custom_id"] for line in lines}) < len(lines):
        return [], "duplicate_custom_id"
    if len({line["body"]["model"] for line in lines}) > 1:
        return [], "model_mismatch"
    return lines, None


def _errors(code: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"code": code, "message": "planted", "param": None, "line": None}]}


def _page(request: web.Request, objects: Iterable[dict[str, Any]], *, limit: int) -> web.Response:
    """What comes behind the query's `after`, `limit` at most."""
    everything = list(objects)
    ids = [one["id"] for one in everything]
    after, limit = request.query.get("after"), int(request.query.get("limit", limit))
    start = ids.index(after) + 1 if after in ids else 0
    page = everything[start : start + limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
    return respond({"object": "list", "data": page, "has_more": start + limit < len(ids), **ends})


def _missing(request: web.Request) -> web.Response:
    return refuse(404, None, f"No such object: {request.match_info['id']}", parameter="id")
