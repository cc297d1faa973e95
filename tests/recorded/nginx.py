"""nginx on ports of the machine's choice, with an access log of JSON lines."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recorded.ports import listen
from recorded.recording import PATIENCE
from recorded.said import Said

CONFIG = """
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 512; }}
http {{
    log_format said escape=json
        '{{"client": $remote_port, "method": "$request_method", "target": "$request_uri", "status": $status}}';
    access_log {home}/access.log said;
    client_body_temp_path {home}/body; proxy_temp_path {home}/t; fastcgi_temp_path {home}/t;
    uwsgi_temp_path {home}/t; scgi_temp_path {home}/t;
    client_max_body_size 20m; keepalive_requests 60;
    limit_req_zone $binary_remote_addr zone=slow:1m rate=600r/s;
    gzip on; gzip_types text/plain; gzip_min_length 1;
    server {{
        listen 127.0.0.1:{port}{http2}; listen [::1]:{port}{http2};
        root {home}/www;
        location /moved {{ return 301 /page.txt; }}
        # As fast as a person can follow: whoever hammers gets so many a second.
        location /slow {{ limit_req zone=slow burst=10; try_files /page.txt =404; }}
        location /made {{ return 201 "made\\n"; }}
    }}
}}
"""


@contextmanager
def nginx(home: Path, files: dict[str, bytes], http2: bool = False) -> Iterator[int]:
    """Serves `files` on 127.0.0.1 and ::1; gives the port. Read its log with `said` afterwards.

    `http2`: with prior knowledge, and nothing else.
    """
    for name, content in files.items():
        (home / "www" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "www" / name).write_bytes(content)
    port = free_port()
    config = CONFIG.format(home=home, port=port, http2=" http2" * http2)
    (home / "nginx.conf").write_text("user root;" * (os.geteuid() == 0) + config)
    with subprocess.Popen(["nginx", "-p", str(home), "-c", str(home / "nginx.conf")], stderr=subprocess.DEVNULL) as it:
        try:
            await_listening(port, it)
            yield port
        finally:
            it.terminate()
            it.wait(PATIENCE)


def said(home: Path) -> list[Said]:
    """Its access log; probes of ours that asked nothing are not in it."""
    lines = (home / "access.log").read_text().splitlines()
    return [Said(**json.loads(line)) for line in lines]


def free_port() -> int:
    with listen() as taken:
        port: int = taken.getsockname()[1]
    return port


def await_listening(port: int, program: subprocess.Popen[bytes]) -> None:
    for _ in range(PATIENCE * 100):
        if program.poll() is not None:
            raise RuntimeError(f"nginx ended with {program.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError("nginx does not come up")
