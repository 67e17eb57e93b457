#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small S3-compatible store for tests, on loopback.

usage: fake_s3.py DIR

Prints its port on one line, then serves until its standard input ends. Objects are files in DIR/objects, named as in the
store; each request is a line of DIR/requests, and each upload that is begun and not ended a line of DIR/uploads, its key. The signature (version 4) of every request is computed here anew, from the
published algorithm alone, and so is the hash of its body. DIR/faults is read before each request: its first line, which is
then removed, says what happens to it: a status (500, 503, 403), "cut" (the connection ends in the middle of the answer),
"drop" (before any answer), "corrupt" (bytes of an object are changed), "late" (200, then an error in its text), or "ok".
"""
import hashlib
import hmac
import html
import os
import secrets
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY_ID, SECRET, SESSION, REGION = "AKIATEST", "a/secret+of=tests", "", "us-east-1"
lock = threading.Lock()
uploads = {}
keys = {}
home = ""


def hmac_of(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_of(method, path, query, headers, signed, payload_hash, date, scope):
    """The four tasks of the specification of AWS Signature Version 4."""
    pairs = sorted(
        (urllib.parse.quote(urllib.parse.unquote(name), safe="-_.~"),
         urllib.parse.quote(urllib.parse.unquote(value), safe="-_.~"))
        for name, _, value in (part.partition("=") for part in query.split("&") if part))
    canonical = "\n".join([
        method,
        urllib.parse.quote(urllib.parse.unquote(path), safe="/-_.~"),
        "&".join(f"{name}={value}" for name, value in pairs),
        "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed),
        ";".join(signed),
        payload_hash])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        key = hmac_of(key, part)
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def refuse(self, status, code, message=""):
        self.answer(status, f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode())

    def judge(self, path, query, body):
        """None, or why the request is not what its sender signed."""
        fields = self.headers.get("Authorization", "")
        if not fields.startswith("AWS4-HMAC-SHA256 "):
            return "AccessDenied"
        parts = dict(part.strip().split("=", 1) for part in fields.split(" ", 1)[1].split(","))
        key_id, _, scope = parts["Credential"].partition("/")
        signed = parts["SignedHeaders"].split(";")
        headers = {name.lower(): value for name, value in self.headers.items()}
        date = headers.get("x-amz-date", "")
        if key_id != KEY_ID:
            return "InvalidAccessKeyId"
        if scope != f"{date[:8]}/{REGION}/s3/aws4_request":
            return "AuthorizationHeaderMalformed"
        needed = {"host"} | {name for name in headers if name.startswith("x-amz-")}
        if not needed <= set(signed) or signed != sorted(signed):
            return "AccessDenied"
        payload_hash = headers.get("x-amz-content-sha256", "")
        if payload_hash != hashlib.sha256(body).hexdigest():
            return "XAmzContentSHA256Mismatch"
        if SESSION != headers.get("x-amz-security-token", ""):
            return "InvalidToken"
        right = signature_of(self.command, path, query, headers, signed, payload_hash, date, scope)
        return None if hmac.compare_digest(right, parts["Signature"]) else "SignatureDoesNotMatch"

    def next_fault(self):
        with lock:
            try:
                with open(f"{home}/faults", encoding="ascii") as file:
                    lines = file.read().split("\n")
            except FileNotFoundError:
                return "ok"
            with open(f"{home}/faults.tmp", "w", encoding="ascii") as file:
                file.write("\n".join(lines[1:]))
            os.replace(f"{home}/faults.tmp", f"{home}/faults")
            return lines[0].strip() or "ok"

    def serve(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        fault = self.next_fault()
        arguments = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        name = urllib.parse.unquote(path).lstrip("/")
        why = self.judge(path, query, body)
        with lock, open(f"{home}/requests", "a", encoding="utf-8") as file:
            file.write(f"{self.command} {self.path} {len(body)} {fault} {why or 'signed'}\n")
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
        elif fault.isdigit():
            self.refuse(int(fault), {"503": "SlowDown", "403": "AccessDenied"}.get(fault, "InternalError"), "as the test wants")
        elif why is not None:
            self.refuse(403 if why != "XAmzContentSHA256Mismatch" else 400, why)
        elif not name.startswith("bucket/"):
            self.refuse(404, "NoSuchBucket", "there is only bucket")
        else:
            with lock:
                self.perform(f"{home}/objects/{name}", arguments, body, fault)

    def note_uploads(self):
        with open(f"{home}/uploads", "w", encoding="utf-8") as out:
            out.write("".join(f"{keys[upload]}\n" for upload in uploads))

    def perform(self, file, arguments, body, fault):
        if self.command == "POST" and "uploads" in arguments:
            upload = secrets.token_hex(8) + "+/="
            uploads[upload] = {}
            keys[upload] = urllib.parse.unquote(self.path.partition("?")[0]).lstrip("/").partition("/")[2]
            self.note_uploads()
            self.done(f"<R><UploadId>{upload}</UploadId></R>".encode(), fault)
        elif self.command == "GET" and "uploads" in arguments:
            self.list(arguments["prefix"], int(arguments["max-uploads"]))
        elif self.command == "POST":
            self.complete(file, arguments["uploadId"], body, fault)
        elif self.command == "PUT" and "partNumber" in arguments:
            self.part(arguments["uploadId"], int(arguments["partNumber"]), body, fault)
        elif self.command == "PUT":
            self.keep(file, body)
            self.done(b"", fault, {"ETag": '"%s"' % hashlib.md5(body).hexdigest()})
        elif self.command == "DELETE" and "uploadId" in arguments:
            uploads.pop(arguments["uploadId"], None)
            self.note_uploads()
            self.answer(204)
        elif self.command == "DELETE":
            if os.path.isfile(file):
                os.unlink(file)
            self.answer(204)
        else:
            self.give(file, fault)

    def done(self, body, fault, headers=None):
        """The work is done; a cut connection keeps its sender from knowing."""
        if fault == "cut":
            self.close_connection = True
            self.connection.close()
        else:
            self.answer(200, body, headers)

    def keep(self, file, body):
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb") as out:
            out.write(body)

    def list(self, prefix, count):
        found = sorted((keys[upload], upload) for upload in uploads if keys[upload].startswith(prefix))
        body = "".join(f"<Upload><Key>{html.escape(key)}</Key><UploadId>{html.escape(upload)}</UploadId></Upload>"
                       for key, upload in found[:count])
        self.answer(200, f"<ListMultipartUploadsResult>{body}</ListMultipartUploadsResult>".encode())

    def part(self, upload, number, body, fault):
        if upload not in uploads:
            self.refuse(404, "NoSuchUpload")
            return
        tag = '"%s"' % hashlib.md5(body).hexdigest()
        uploads[upload][number] = (tag, body)
        self.done(b"", fault, {"ETag": tag})

    def complete(self, file, upload, body, fault):
        if upload not in uploads:
            self.refuse(404, "NoSuchUpload")
        elif fault == "late":
            self.answer(200, b"<Error><Code>InternalError</Code><Message>late</Message></Error>")
        else:
            parts = uploads[upload]
            wanted = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{tag.replace(chr(34), '&quot;')}</ETag></Part>"
                             for number, (tag, _) in sorted(parts.items()))
            if body.decode() != f"<CompleteMultipartUpload>{wanted}</CompleteMultipartUpload>":
                self.refuse(400, "InvalidPart", "not the parts that came")
                return
            self.keep(file, b"".join(bytes_ for _, (_, bytes_) in sorted(parts.items())))
            del uploads[upload]
            self.note_uploads()
            self.done(b"<CompleteMultipartUploadResult/>", fault)

    def give(self, file, fault):
        if not os.path.isfile(file):
            self.refuse(404, "NoSuchKey")
            return
        with open(file, "rb") as source:
            body = source.read()
        if fault == "corrupt" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
            self.connection.close()
        else:
            self.answer(200, body)

    do_GET = do_PUT = do_POST = do_DELETE = serve


def main():
    global home, SESSION
    home = sys.argv[1]
    SESSION = os.environ.get("FAKE_S3_SESSION", "")
    os.makedirs(f"{home}/objects", exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


main()
