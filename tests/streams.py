"""A camera on loopback for the tests: MPEG-TS over http in real time, which breaks off and comes back."""

from __future__ import annotations

import http.server
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import av
import cv2
from av.video.stream import VideoStream
from films import HEIGHT, TICKS, WIDTH, picture

from mot.video import Source, open_source

RATE = 50  # FFmpeg reads 20 pictures before it gives the first: half a second
LENGTH = 250  # pictures; what `picture` can number without one that is black


@cache
def chunks(size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[bytes]:
    """The bytes of pictures 1, 2, … as MPEG-TS, a key picture every 5."""
    buffer, marks = io.BytesIO(), [0]
    muxer = {"flush_packets": "1", "pat_period": "0.1", "mpegts_flags": "resend_headers"}
    with av.open(buffer, "w", format="mpegts", container_options=muxer) as container:
        stream = container.add_stream("libx264", rate=RATE)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.gop_size = 5
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "bf": "0"}
        stream.time_base = Fraction(1, TICKS)
        for number in range(1, LENGTH + 1):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="bgr24")
            frame.pts, frame.time_base = number * TICKS // RATE, Fraction(1, TICKS)
            container.mux(stream.encode(frame))
            marks.append(buffer.tell())
        container.mux(stream.encode(None))
    data = buffer.getvalue()
    return [data[a:b] for a, b in pairwise(marks)]


@cache
def jpegs() -> list[bytes]:
    """The same as parts of a multipart answer: what simple cameras send, without time stamps."""
    head = b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    pictures = [cv2.imencode(".jpg", picture(number))[1].tobytes() for number in range(1, LENGTH + 1)]
    return [head % len(data) + data + b"\r\n" for data in pictures]


class Camera:
    """Films pictures 1, 2, … from the moment it is made; who connects gets what is filmed from then on.

    Attributes:
        url: where it is served.
        size: of the pictures, width and height; may be changed while nobody is connected.
        calls: how often somebody connected.
        jpeg: whether it sends `jpegs`.
        mute: while set, those connected get nothing, and stay connected.
    """

    def __init__(self, jpeg: bool = False) -> None:
        self.jpeg = jpeg
        self.size = (WIDTH, HEIGHT)
        self.calls = 0
        self.mute = threading.Event()
        self._began = time.monotonic()
        self._port = 0
        self._server: http.server.ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://somebody:secret@127.0.0.1:{self._port}/live.ts"

    def start(self) -> None:
        """Listen, on the same port each time."""
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.calls += 1
                self.send_response(200)
                kind = "multipart/x-mixed-replace; boundary=part" if camera.jpeg else "video/mp2t"
                self.send_header("Content-Type", kind)
                self.end_headers()
                camera.serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server, self._port = server, server.server_port
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def serve(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Each picture when its time has come; a break-off comes in the middle of one."""
        server, pieces = handler.server, jpegs() if self.jpeg else chunks(self.size)
        for number in range(self.number() + 1, LENGTH + 1):
            time.sleep(max(0.0, self._began + number / RATE - time.monotonic()))
            piece = pieces[number - 1]
            try:
                if self._server is not server:
                    handler.wfile.write(piece[: len(piece) // 2])
                    return
                if not self.mute.is_set():
                    handler.wfile.write(piece)
            except OSError:
                return

    def number(self) -> int:
        """Of the picture that is filmed now."""
        return int((time.monotonic() - self._began) * RATE)

    def stop(self) -> None:
        """Cut everybody off and refuse new connections."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


@contextmanager
def camera(jpeg: bool = False) -> Iterator[Camera]:
    """A camera that is filming."""
    chunks()
    jpegs()
    made = Camera(jpeg)
    try:
        yield made
    finally:
        made.stop()


def watch(made: Camera, **options: Any) -> Source:
    """A source over the camera; closed after 15 s, so that a test that waits in vain fails instead."""
    source = open_source(made.url, **options)
    timer = threading.Timer(15, source.close)
    timer.daemon = True
    timer.start()
    return source
