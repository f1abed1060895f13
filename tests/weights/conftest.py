"""A local server, an empty cache, and a manifest of one entry: what the tests of fetching share."""

import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mot.weights import manifest
from mot.weights.manifest import Entry, Source

CONTENT = b"weights " * 4000
PAGE = b"\n <!DOCTYPE html><title>Google Drive - Quota exceeded</title>"


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT in the ways that the path names, and counts."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/absent":
            self.send_error(404)
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
        else:
            self._send()

    def _send(self) -> None:
        other = {"/other": CONTENT[::-1], "/short": CONTENT[:100], "/long": CONTENT * 2, "/empty": b""}
        body = {**other, "/page": PAGE}.get(self.path, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2 if self.path in ("/cut", "/hang", "/slow") else len(body)
        self.wfile.write(body[:half])
        self.wfile.flush()
        if self.path == "/hang":
            time.sleep(20)
        if self.path == "/slow":
            time.sleep(0.4)
            self.wfile.write(body[half:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """Address of a local server, and what it was asked for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asked: list[str] = []
    handler = type("OneHandler", (Handler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        http.block_on_close = False
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, which does not exist yet, and no MOT_WEIGHTS."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MOT_WEIGHTS", raising=False)
    return tmp_path / "cache" / "mot"


@pytest.fixture
def know(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Entry]:
    """Makes `net` the only known name, with these sources and facts."""

    def know(*sources: Source, **facts: Any) -> Entry:
        entry = Entry(
            name="net",
            file="net.pt",
            kind="reid",
            model="net",
            licence="MIT",
            size=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            sources=sources,
        )
        entry = dataclasses.replace(entry, **facts)
        monkeypatch.setattr(manifest, "load", lambda path=None: {entry.name: entry})
        return entry

    return know
