"""What the pages that are served on this machine have in common (`radvlm serve`, `radvlm chat --web`)."""

from __future__ import annotations

from urllib.parse import urlsplit

HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Sent with every answer: what browsers may tell others of it, and who may embed it."""


def host_name(header: str) -> str:
    """The name in a Host header, without its port; empty where there is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""
