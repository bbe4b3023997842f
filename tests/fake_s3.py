"""An S3 server in memory, with enough of the protocol for a client to put, get, list and delete objects."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]  # "bucket/key" → content

    def do_PUT(self) -> None:
        self.objects[self._key()] = self._body()
        self._answer(200, headers={"ETag": self._etag()})

    def do_HEAD(self) -> None:
        if self._key() in self.objects:
            self._answer(200, self.objects[self._key()], {"ETag": self._etag()})
        else:
            self._answer(200 if "/" not in self._key() else 404)

    def do_GET(self) -> None:
        if "/" not in self._key():
            self._list()
        elif self._key() not in self.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._object(self.objects[self._key()])

    def do_DELETE(self) -> None:
        self.objects.pop(self._key(), None)
        self._answer(204)

    def do_POST(self) -> None:
        """Delete many: the only thing that clients post here."""
        assert "delete" in parse_qs(urlsplit(self.path).query, keep_blank_values=True), self.path
        for key in re.findall(r"<Key>(.*?)</Key>", self._body().decode()):
            self.objects.pop(f"{self._key()}/{unescape(key)}", None)
        self._answer(200, b"<DeleteResult></DeleteResult>")

    def log_message(self, *_args: object) -> None:
        pass

    def _object(self, content: bytes) -> None:
        wanted = self.headers.get("Range")
        if wanted is None:
            self._answer(200, content, {"ETag": self._etag()})
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = (int(first), int(last) + 1 if last else None) if first else (-int(last), None)
        self._answer(206, content[start:stop], {"ETag": self._etag()})

    def _list(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        bucket, contents, folders = self._key(), [], set()
        for key in sorted(name.removeprefix(f"{bucket}/") for name in self.objects if name.startswith(f"{bucket}/")):
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            size = len(self.objects[f"{bucket}/{key}"])
            stamp = "2025-01-01T00:00:00.000Z"
            contents.append(f"<Key>{escape(key)}</Key><Size>{size}</Size><LastModified>{stamp}</LastModified>")
        body = "".join(f"<Contents>{item}</Contents>" for item in contents)
        body += "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders))
        self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{body}</ListBucketResult>".encode())

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def _etag(self) -> str:
        return f'"{md5(self.objects[self._key()]).hexdigest()}"'

    def _body(self) -> bytes:
        if "content-length" in self.headers and "aws-chunked" not in self.headers.get("content-encoding", ""):
            return self.rfile.read(int(self.headers["content-length"]))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Last-Modified": formatdate(usegmt=True), **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def fake_s3() -> Iterator[str]:
    """The address of a running server; every bucket exists."""
    handler = type("Handler", (_Handler,), {"objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
