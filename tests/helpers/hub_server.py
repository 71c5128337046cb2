"""A hub on loopback: as much of its protocol as a download needs, and everything that can go wrong."""

import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_TREE = re.compile(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)")
_KNOWN = re.compile(r"/api/models/|/[^/]+/[^/]+/resolve/")
_INFO = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?")


@dataclass
class Repo:
    """A folder that is served; with a `token` it is private, and `gated` where it says so."""

    folder: Path
    commit: str = COMMIT
    gated: bool = False
    token: str | None = None

    def files(self) -> list[str]:
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_file()
        )


@dataclass
class Trouble:
    """What goes wrong with a file, or with its `method` alone; `times` None is every time.

    `cut` and `stall` count bytes from the beginning of the file, wherever a request begins. With
    `reset` a cut is the kind that a firewall makes. A `change` is of one byte or of the size, unlike
    what the headers say; `elsewhere` is the host that a request is sent on to, and `headers` are others
    than the right ones.
    """

    status: int | None = None
    message: str | None = None
    sleep: float = 0
    cut: int | None = None
    reset: bool = False
    stall: int | None = None
    bare: bool = False
    change: str | None = None
    elsewhere: str | None = None
    method: str | None = None
    times: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """One request, and what came of it."""

    method: str
    path: str
    name: str
    range: str | None
    token: str = ""
    bytes: int = 0


@dataclass
class Hub:
    """The server; `trouble` is by file name, and * means everything."""

    repositories: Mapping[str, Repo]
    trouble: dict[str, Trouble] = field(default_factory=dict)
    invalid_tokens: tuple[str, ...] = ()
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> "Hub":
        self.over = threading.Event()
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def forget(self) -> None:
        self.asked.clear()

    def requests(self, method: str, name: str | None = None) -> list[Asked]:
        return [a for a in self.asked if a.method == method and name in (None, a.name)]

    def bytes_of(self, name: str) -> int:
        return sum(a.bytes for a in self.requests("GET", name))

    def troubled(self, method: str, name: str) -> Trouble:
        """What is wrong with this request; counts it."""
        trouble = self.trouble.get(name) or self.trouble.get("*")
        if trouble is None or trouble.method not in (None, method) or trouble.times == 0:
            return Trouble()
        if trouble.times is not None:
            trouble.times -= 1
        return trouble


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    entry = Asked("", "", "", None)

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Note what is asked, let go wrong what shall, and answer."""
        path = unquote(urlsplit(self.path).path)
        if not _KNOWN.match(path):
            # The library has questions of its own, about itself.
            return self.send(404, b"{}", {})
        file, tree, info = (kind.fullmatch(path) for kind in (_FILE, _TREE, _INFO))
        name = file[3] if file else path
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.entry = Asked(self.command, path, name, self.headers.get("Range"), token)
        self.server.hub.asked.append(self.entry)
        trouble = self.server.hub.troubled(self.command, name)
        if trouble.sleep:
            self.server.hub.over.wait(trouble.sleep)
        if trouble.status:
            commit = trouble.headers.get("X-Repo-Commit", "")
            code = "EntryNotFound" if trouble.headers else None
            return self.refuse(trouble.status, code, trouble.message or "Something broke", commit)
        if trouble.elsewhere:
            return self.send(302, b"", {"Location": trouble.elsewhere + self.path})
        match = file or tree or info
        if match is None:
            return self.refuse(400, None, "Malformed")
        repo = self.admit(match[1], match[2] or "main", is_file=file is not None)
        if repo is None:
            return None
        if file:
            return self.send_file(repo, name, trouble)
        return self.send(200, self.listing(repo, match[1], as_tree=tree is not None), {})

    def admit(self, repository: str, revision: str, *, is_file: bool) -> Repo | None:
        """The repository, where this token may see it; otherwise the refusal is sent."""
        hub = self.server.hub
        repo = hub.repositories.get(repository)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in hub.invalid_tokens:
            return self.refuse(401, None, "Invalid credentials in Authorization header")
        hidden = repo is None or (not repo.gated and repo.token not in (None, token))
        if repo is None or hidden:
            return self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        # Of a gated repository everybody may see the names of the files.
        if is_file and repo.gated and token != repo.token:
            return self.refuse(403 if token else 401, "GatedRepo", "Access is restricted")
        if revision not in ("main", repo.commit):
            return self.refuse(404, "RevisionNotFound", "Invalid rev id")
        return repo

    @staticmethod
    def listing(repo: Repo, repository: str, *, as_tree: bool) -> bytes:
        """A repository's files, as a tree or among its facts."""
        if as_tree:
            entries = [
                {"type": "file", "path": name, "oid": "0" * 40, "size": 1} for name in repo.files()
            ]
            return json.dumps(entries).encode()
        siblings = [{"rfilename": name} for name in repo.files()]
        return json.dumps({"id": repository, "sha": repo.commit, "siblings": siblings}).encode()

    def refuse(self, status: int, code: str | None, message: str, commit: str = "") -> None:
        said = {"X-Error-Message": message}
        said |= {"X-Error-Code": code} if code else {}
        said |= {"X-Repo-Commit": commit} if commit else {}
        self.send(status, json.dumps({"error": message}).encode(), said)

    def send_file(self, repo: Repo, name: str, trouble: Trouble) -> None:
        if name not in repo.files():
            return self.refuse(404, "EntryNotFound", "Entry not found", repo.commit)
        data = (repo.folder / name).read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": repo.commit,
            "X-Linked-Size": str(len(data)),
            "Accept-Ranges": "bytes",
        }
        if trouble.bare:
            headers = {}
        headers |= trouble.headers
        if trouble.change and self.command == "GET":
            data = data[:-1] + b"?" if trouble.change == "byte" else data + b"another"
        first = 0
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.entry.range or ""):
            first = int(wanted[1])
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        return self.send(206 if wanted else 200, data[first:], headers, trouble, first)

    def send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str],
        trouble: Trouble = Trouble(),
        first: int = 0,
    ) -> None:
        self.send_response(status, HTTPStatus(status).phrase)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        ends = [end for end in (trouble.cut, trouble.stall) if end is not None]
        part = body[: max(0, min(ends) - first)] if ends else body
        self.entry.bytes = len(part)
        self.wfile.write(part)
        if trouble.stall is not None:
            self.server.hub.over.wait(60)
        if ends:
            self.close_connection = True
        if trouble.reset:
            # Closing with a linger of 0 resets the connection.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
