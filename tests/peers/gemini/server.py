#!/usr/bin/env python3
"""A small in-memory server of the Gemini API's File Search surface, for tests.

Standard library only.  `python3 server.py --port 0` prints one line,
`listening on http://127.0.0.1:PORT`, then serves until it is killed.
Held against the unmodified official SDKs by test_with_sdk.py and test_with_js_sdk.mjs.
Everything under /_fake/ is the test's control panel; see README.md.
"""
import argparse
import base64
import hashlib
import json
import os
import re
import secrets
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

GRANULARITY = 262144  # every chunk but the last is a multiple of this
DEFAULTS = {
    "pending_polls": 1,          # polls an operation (or its document) stays pending
    "op_error": None,            # {"code": 3, "message": "..."}: operations end in it
    "document_state": "STATE_ACTIVE",   # or STATE_FAILED
    "failed_polls": 0,           # polls a document reads STATE_FAILED before its end state
    "response_without_done": False,     # operations carry `response` but no `done`
    "missing": 403,              # status for an unknown resource: 403 (as Google) or 404
    "max_file_bytes": 100 * 1024 * 1024,
    "storage_limit_bytes": 1_000_000_000,
    "strict_mime": False,        # refuse a body mimeType other than text/plain, application/pdf
    "frozen_time": None,         # every createTime and updateTime is this
    "reverse_lists": False,      # lists come the other way round: no order is promised
    "expires_in_s": None,        # documents say that they expire
    "own_operation_names": False,       # an operation's last part is not its document's
    "upload_origin": None,       # upload sessions are at this origin instead of the one that was asked
    "grounding": "full",         # "title" (hits without customMetadata) or "none" (no groundingMetadata)
    "answer": None,              # what the model says, instead of the best paragraph
}
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
          404: "NOT_FOUND", 409: "ALREADY_EXISTS", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL",
          502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


class ApiError(Exception):
    def __init__(self, code, message, status=None, headers=None, details=None):
        super().__init__(message)
        self.code, self.headers = code, headers or {}
        self.body = {"error": {"code": code, "message": message,
                               "status": status or STATUS.get(code, "UNKNOWN")}}
        if details:
            self.body["error"]["details"] = details


class Drop(Exception):
    """Close the connection without an answer."""


def bad(message):
    return ApiError(400, message)


def now(offset_s=0):
    return (datetime.now(timezone.utc) + timedelta(seconds=offset_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_id(display_name):
    slug = re.sub(r"-+", "-", re.sub(r"[^a-z0-9]+", "-", (display_name or "").lower())).strip("-")[:27]
    tail = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(12))
    return (slug.strip("-") + "-" if slug else tail[::-1] + "-") + tail


def fields(body, **allowed):
    """Checks a JSON object as Google's parser does: unknown names and wrong types are 400."""
    out = {}
    for name, value in (body or {}).items():
        camel = re.sub(r"_(\w)", lambda m: m[1].upper(), name)
        if camel not in allowed:
            raise bad('Invalid JSON payload received. Unknown name "%s": Cannot find field.' % name)
        if value is not None:
            kind = allowed[camel]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise bad("Invalid value at '%s'" % name)
            out[camel] = value
    return out


def check_document(body):
    """The part that uploadToFileSearchStore and importFile share."""
    if len(body.get("displayName", "")) > 512:
        raise bad("* display_name: must be no more than 512 characters in length")
    metadata = body.get("customMetadata", [])
    if len(metadata) > 20:
        raise bad("* custom_metadata: A Document can have a maximum of 20 CustomMetadata.")
    clean = []
    for item in metadata:
        item = fields(item, key=str, stringValue=str, numericValue=(int, float), stringListValue=dict)
        values = [k for k in ("stringValue", "numericValue", "stringListValue") if k in item]
        if not item.get("key") or len(values) != 1:
            raise bad("* custom_metadata: key and exactly one value are required")
        clean.append(item)
    if len({m["key"] for m in clean}) != len(clean):
        raise bad("* custom_metadata: duplicate key")
    white = fields(fields(body.get("chunkingConfig"), whiteSpaceConfig=dict).get("whiteSpaceConfig"),
                   maxTokensPerChunk=int, maxOverlapTokens=int)
    size, overlap = white.get("maxTokensPerChunk", 512), white.get("maxOverlapTokens", 0)
    if not 1 <= size <= 512 or not 0 <= overlap < size:
        raise bad("* chunking_config: max_tokens_per_chunk must be at most 512 and above max_overlap_tokens")
    return clean


def metadata_filter(text, document):
    """A subset of AIP-160: comparisons, `:` (has), AND, OR, NOT, parentheses."""
    values = {}
    for m in document.get("customMetadata", []):
        values[m["key"]] = m.get("stringValue", m.get("numericValue", (m.get("stringListValue") or {}).get("values")))
    tokens = re.findall(r'"(?:[^"\\]|\\.)*"|[()]|[<>!]=|[<>=:]|[^\s()<>=!:"]+', text)

    def take(expected=None):
        if not tokens or (expected and tokens[0] != expected):
            raise bad("Invalid metadata filter: " + text)
        return tokens.pop(0)

    def literal(tok):
        return json.loads(tok) if tok.startswith('"') else tok

    def comparison():
        if tokens and tokens[0] == "NOT":
            take()
            return not comparison()
        if tokens and tokens[0] == "(":
            take()
            result = either()
            take(")")
            return result
        key, op, right = literal(take()), take(), literal(take())
        left = values.get(key)
        if left is None:
            return op == "!="
        if isinstance(left, list):
            return (right in left) != (op == "!=")
        if not isinstance(left, str):
            try:
                right = float(right)
            except ValueError:
                return False
        tests = {"=": left == right, ":": left == right, "!=": left != right}
        return tests[op] if op in tests else {"<": left < right, "<=": left <= right,
                                              ">": left > right, ">=": left >= right}[op]

    def both():
        result = comparison()
        while tokens and tokens[0] not in ("OR", ")"):
            if tokens[0] == "AND":
                take()
            result = comparison() and result
        return result

    def either():
        result = both()
        while tokens and tokens[0] == "OR":
            take()
            result = both() or result
        return result

    result = either()
    if tokens:
        raise bad("Invalid metadata filter: " + text)
    return result


class Fake:
    def __init__(self, api_key):
        self.api_key = api_key
        self.lock = threading.RLock()
        self.reset()

    def reset(self):
        self.config = dict(DEFAULTS)
        self.stores, self.documents, self.files, self.operations, self.sessions = {}, {}, {}, {}, {}
        self.contents, self.faults, self.log = {}, [], []

    def time(self):
        return self.config["frozen_time"] or now()

    # resources ---------------------------------------------------------------
    def find(self, table, name, kind):
        if name not in table:
            message = "You do not have permission to access the %s %s or it may not exist." % (kind, name.split("/")[-1])
            raise ApiError(self.config["missing"], message)
        return table[name]

    def page(self, items, query, key, default=10, most=20):
        try:
            size, start = int(query.get("pageSize") or default), int(query.get("pageToken") or 0)
        except ValueError:
            raise bad("Invalid page_size or page_token") from None
        size = min(size or default, most)
        if self.config["reverse_lists"]:
            items = items[::-1]
        body = {key: items[start:start + size]} if items[start:start + size] else {}
        if start + size < len(items):
            body["nextPageToken"] = str(start + size)
        return body

    def in_store(self, store):
        return [d for n, d in self.documents.items() if n.startswith(store + "/documents/")]

    def store_view(self, name):
        view, docs = dict(self.find(self.stores, name, "FileSearchStore")), self.in_store(name)
        for state in ("ACTIVE", "PENDING", "FAILED"):
            count = sum(d["state"] == "STATE_" + state for d in docs)
            if count:
                view[state.lower() + "DocumentsCount"] = str(count)  # int64: a JSON string
        used = sum(int(d.get("sizeBytes", 0)) for d in docs)
        if used:
            view["sizeBytes"] = str(used)
        return view

    def create_store(self, body):
        body = fields(body, displayName=str, embeddingModel=str)
        if len(body.get("displayName", "")) > 512:
            raise bad("* display_name: must be no more than 512 characters in length")
        name = "fileSearchStores/" + new_id(body.get("displayName"))
        self.stores[name] = {"name": name, "createTime": self.time(), "updateTime": self.time(),
                             "embeddingModel": "models/gemini-embedding-001", **body}
        return self.store_view(name)

    def delete_store(self, name, force):
        self.find(self.stores, name, "FileSearchStore")
        docs = self.in_store(name)
        if docs and not force:
            raise ApiError(400, "Cannot delete non-empty FileSearchStore", "FAILED_PRECONDITION")
        for d in docs:
            del self.documents[d["name"]]
        del self.stores[name]
        return {}

    def delete_document(self, name, force):
        self.find(self.documents, name, "Document")
        if not force:
            raise ApiError(400, "Cannot delete non-empty Document", "FAILED_PRECONDITION")
        del self.documents[name]
        return {}

    def add_document(self, store, request, content, mime, kind):
        used = sum(int(d.get("sizeBytes", 0)) for d in self.documents.values())
        if used + len(content) > self.config["storage_limit_bytes"]:
            raise ApiError(429, "Corpus has reached the storage limit of %d bytes." % self.config["storage_limit_bytes"])
        tail = new_id(request.get("displayName"))
        doc = store + "/documents/" + tail
        op = store + "/" + kind + "/" + (new_id("") if self.config["own_operation_names"] else tail)
        self.documents[doc] = {"name": doc, "displayName": request.get("displayName", tail), "state": "STATE_PENDING",
                               "createTime": self.time(), "updateTime": self.time(), "mimeType": mime}
        if content:  # zero and empty fields are left out
            self.documents[doc]["sizeBytes"] = str(len(content))
        if request.get("customMetadata"):
            self.documents[doc]["customMetadata"] = request["customMetadata"]
        if self.config["expires_in_s"] is not None:
            self.documents[doc]["expirationTime"] = now(self.config["expires_in_s"])
        self.contents[doc] = content
        self.operations[op] = {"doc": doc, "store": store, "left": self.config["pending_polls"],
                               "failed": self.config["failed_polls"], "error": self.config["op_error"],
                               "end": self.config["document_state"], "upload": kind.startswith("upload")}
        return self.operation_view(op, poll=False)

    def operation_view(self, name, poll=True):
        """One look at an operation; `poll` counts it against pending_polls."""
        op = self.find(self.operations, name, "Operation")
        pending = op["left"] > 0
        if poll and pending:
            op["left"] -= 1
        elif poll and op["failed"] > 0:
            op["failed"] -= 1
        doc = self.documents.get(op["doc"])
        if pending:
            return {"name": name, "metadata": {"@type": "type.googleapis.com/google.ai.generativelanguage.v1main.CustomMetadata"}}
        if doc:
            doc["state"] = "STATE_FAILED" if op["error"] or op["failed"] else op["end"]
        if op["error"]:
            return {"name": name, "done": True, "error": op["error"]}
        rpc = "UploadToFileSearchStoreResponse" if op["upload"] else "ImportFileResponse"
        response = {"@type": "type.googleapis.com/google.ai.generativelanguage.v1main." + rpc,
                    "parent": op["store"], "documentName": op["doc"]}
        if op["upload"] and doc:
            response.update({k: doc[k] for k in ("mimeType", "sizeBytes") if k in doc})
        done = {} if self.config["response_without_done"] else {"done": True}
        return {"name": name, **done, "response": response}

    def poll_document(self, name):
        for op_name, op in self.operations.items():
            if op["doc"] == name:
                self.operation_view(op_name)
        return self.find(self.documents, name, "Document")

    def import_file(self, store, body):
        self.find(self.stores, store, "FileSearchStore")
        body = fields(body, fileName=str, customMetadata=list, chunkingConfig=dict)
        file = self.find(self.files, body.get("fileName", ""), "File")
        request = {"customMetadata": check_document(body), "displayName": file.get("displayName", "")}
        return self.add_document(store, request, self.contents[file["name"]], file["mimeType"], "operations")

    # resumable uploads ---------------------------------------------------------
    def start_upload(self, target, body, headers, origin, path):
        if headers.get("X-Goog-Upload-Protocol", "").lower() != "resumable":
            raise bad("Upload protocol not supported by this fake: use resumable")
        if headers.get("X-Goog-Upload-Command", "").lower() != "start":
            raise bad("Expected X-Goog-Upload-Command: start")
        if target == "files":
            request = fields((body or {}).get("file"), name=str, displayName=str, mimeType=str, sizeBytes=(int, str))
        else:
            self.find(self.stores, target, "FileSearchStore")
            request = fields(body, displayName=str, customMetadata=list, chunkingConfig=dict, mimeType=str)
            request["customMetadata"] = check_document(request)
        mime = request.get("mimeType") or headers.get("X-Goog-Upload-Header-Content-Type", "")
        if "mimeType" in request and (not re.fullmatch(r"[\w.+-]+/[\w.+-]+(;.*)?", request["mimeType"]) or (
                self.config["strict_mime"] and request["mimeType"] not in ("text/plain", "application/pdf"))):
            raise bad("* UploadToFileSearchStoreRequest.mime_type: When provided, MIME type must be in a "
                      "valid type/subtype format (e.g., 'text/plain', 'application/pdf').\n")
        declared = headers.get("X-Goog-Upload-Header-Content-Length")
        if declared and not declared.isdigit():
            raise bad("Invalid X-Goog-Upload-Header-Content-Length")
        if declared and int(declared) > self.config["max_file_bytes"]:
            raise bad("File size exceeds the limit of %d bytes." % self.config["max_file_bytes"])
        sid = secrets.token_urlsafe(24)
        self.sessions[sid] = {"target": target, "request": request, "mime": mime or "application/octet-stream",
                              "declared": declared and int(declared), "data": bytearray(), "final": False}
        origin = self.config["upload_origin"] or origin
        url = "%s%s?upload_id=%s&upload_protocol=resumable" % (origin, path, sid)
        return None, {"X-Goog-Upload-Status": "active", "X-Goog-Upload-URL": url, "X-Goog-Upload-Control-URL": url,
                      "X-Goog-Upload-Chunk-Granularity": str(GRANULARITY)}

    def continue_upload(self, sid, data, headers):
        s = self.sessions.get(sid)
        if s is None:
            raise ApiError(404, "Upload session not found.")
        commands = [c.strip().lower() for c in headers.get("X-Goog-Upload-Command", "").split(",")]
        if commands == ["query"]:
            if s["final"]:
                return None, {"X-Goog-Upload-Status": "final"}
            return None, {"X-Goog-Upload-Status": "active", "X-Goog-Upload-Size-Received": str(len(s["data"])),
                          "X-Goog-Upload-Chunk-Granularity": str(GRANULARITY)}
        if s["final"]:
            raise ApiError(400, "Upload has already been terminated.", headers={"X-Goog-Upload-Status": "final"})
        if commands == ["cancel"]:
            s["final"] = True
            return None, {"X-Goog-Upload-Status": "cancelled"}
        if not set(commands) <= {"upload", "finalize"}:
            raise bad("Unknown X-Goog-Upload-Command")
        active = {"X-Goog-Upload-Status": "active", "X-Goog-Upload-Size-Received": str(len(s["data"]))}
        if "upload" in commands:
            if headers.get("X-Goog-Upload-Offset") != str(len(s["data"])):
                raise ApiError(400, "X-Goog-Upload-Offset does not match the bytes received.", headers=active)
            if "finalize" not in commands and len(data) % GRANULARITY:
                raise ApiError(400, "Chunk size is not a multiple of the granularity.", headers=active)
            s["data"] += data
        if "finalize" not in commands:
            return None, {"X-Goog-Upload-Status": "active", "X-Goog-Upload-Size-Received": str(len(s["data"]))}
        if s["declared"] is not None and s["declared"] != len(s["data"]):
            raise ApiError(400, "Upload size does not match the declared length.", headers=active)
        s["final"] = True  # also when what follows fails, and that answer carries no upload status
        content = bytes(s["data"])
        if s["target"] == "files":
            return {"file": self.add_file(s["request"], content, s["mime"])}, {"X-Goog-Upload-Status": "final"}
        self.find(self.stores, s["target"], "FileSearchStore")
        body = self.add_document(s["target"], s["request"], content, s["mime"], "upload/operations")
        return body, {"X-Goog-Upload-Status": "final"}

    def add_file(self, request, content, mime):
        name = request.get("name") or "files/" + new_id("")[-12:]
        if name in self.files:
            raise ApiError(409, "File already exists.")
        digest = base64.b64encode(hashlib.sha256(content).hexdigest().encode()).decode()
        self.files[name] = {"name": name, "mimeType": mime, "sizeBytes": str(len(content)), "createTime": now(),
                            "updateTime": now(), "expirationTime": now(48 * 3600), "sha256Hash": digest,
                            "uri": "https://files.invalid/v1beta/" + name, "state": "ACTIVE", "source": "UPLOADED",
                            **({"displayName": request["displayName"]} if "displayName" in request else {})}
        self.contents[name] = content
        return self.files[name]

    # generateContent -----------------------------------------------------------
    def generate(self, model, body):
        tools = [t.get("fileSearch") or t.get("file_search") for t in body.get("tools", [])]
        tool = next((fields(t, fileSearchStoreNames=list, topK=int, metadataFilter=str) for t in tools if t), None)
        words = lambda text: set(re.findall(r"\w+", text.lower()))
        question = words(" ".join(p.get("text", "") for c in body.get("contents", []) for p in c.get("parts", [])))
        chunks = []
        if tool:
            names = tool.get("fileSearchStoreNames", [])
            if not 1 <= len(names) <= 5:
                raise bad("* file_search_store_names: between 1 and 5 FileSearchStores are required")
            for store in names:
                self.find(self.stores, store, "FileSearchStore")
                for doc in self.in_store(store):
                    if doc["state"] == "STATE_ACTIVE" and (not tool.get("metadataFilter")
                                                           or metadata_filter(tool["metadataFilter"], doc)):
                        for para in self.contents[doc["name"]].decode("utf-8", "replace").split("\n\n"):
                            score = len(question & words(para))
                            if score:
                                context = {"title": doc["displayName"], "text": para.strip(), "fileSearchStore": store}
                                if doc.get("customMetadata"):
                                    context["customMetadata"] = doc["customMetadata"]
                                chunks.append((score, {"retrievedContext": context}))
            chunks.sort(key=lambda pair: -pair[0])
        found = [c for _, c in chunks[:tool.get("topK") or 5]] if tool else []
        if self.config["grounding"] == "title":
            for chunk in found:
                chunk["retrievedContext"].pop("customMetadata", None)
        text = self.config["answer"] or (found[0]["retrievedContext"]["text"] if found else "I found nothing about that.")
        candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}
        if found and self.config["grounding"] != "none":
            # One support a sentence, each by the next source. Segments are counted in bytes; zero is left out.
            supports, at = [], 0
            for i, sentence in enumerate(re.findall(r"[^.]+\.?\s*", text)):
                end = at + len(sentence.rstrip().encode())
                supports.append({"segment": {**({"startIndex": at} if at else {}), "endIndex": end, "text": sentence.rstrip()},
                                 "groundingChunkIndices": [i % len(found)]})
                at += len(sentence.encode())
            candidate["groundingMetadata"] = {"groundingChunks": found, "groundingSupports": supports}
        return {"candidates": [candidate], "modelVersion": model, "responseId": secrets.token_hex(8),
                "usageMetadata": {"promptTokenCount": len(question), "totalTokenCount": len(question)}}

    # faults ----------------------------------------------------------------------
    def take_fault(self, line, header):
        if header:
            return json.loads(header)
        for fault in self.faults:
            if re.search(fault.get("match", ""), line) and fault.get("skip", 0) > 0:
                fault["skip"] -= 1
            elif re.search(fault.get("match", ""), line):
                fault["times"] = fault.get("times", 1) - 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
                return fault
        return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: 40 ms an answer
    fake: Fake = None

    def log_message(self, *args):
        pass

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            out = bytearray()
            while size := int(self.rfile.readline().split(b";")[0], 16):
                out += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return bytes(out)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, code, body, headers=(), raw=None):
        data = b"" if body is None else json.dumps(body).encode()
        data = data if raw is None else raw.encode()
        self.send_response(code)
        if data:
            self.send_header("Content-Type", "application/json; charset=UTF-8")
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_any(self):
        url = urlsplit(self.path)
        path, query = unquote(url.path), {k: v[-1] for k, v in parse_qs(url.query).items()}
        raw, fake = self.read_body(), self.fake
        if path.startswith("/_fake/"):
            with fake.lock:
                return self.reply(200, self.admin(path, raw))
        line = " ".join((self.command, path, self.headers.get("X-Goog-Upload-Command", ""))).strip()
        with fake.lock:
            fault = fake.take_fault(line, self.headers.get("X-Fake-Fault"))
        entry = {"line": line, "query": query, "bytes": len(raw), "headers": dict(self.headers.items()),
                 "json": json.loads(raw) if raw[:1] == b"{" and len(raw) < 65536 and "upload_id" not in query else None}
        fake.log.append(entry)
        code, body, headers, raw_body = 200, None, {}, None
        try:
            time.sleep(fault.get("delay_ms", 0) / 1000)
            if fault.get("drop") == "before":        # the body arrived, nothing was done
                raise Drop
            if "status" in fault:
                extra = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
                raw_body = fault.get("body")
                raise ApiError(fault["status"], fault.get("message", "injected fault"), fault.get("rpc_status"),
                               {**extra, **fault.get("headers", {})}, fault.get("details"))
            with fake.lock:
                body, headers = self.route(path, query, raw)
            if fault.get("drop") == "after":         # the work was done, the answer is lost
                raise Drop
        except ApiError as e:
            code, body, headers = e.code, e.body, e.headers
        except Drop:
            entry["status"], self.close_connection = "dropped", True
            return None
        entry["status"] = code
        return self.reply(code, body, headers, raw_body)

    do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = handle_any

    def admin(self, path, raw):
        fake, body = self.fake, json.loads(raw or b"null")
        if path == "/_fake/reset":
            fake.reset()
        elif path == "/_fake/config":
            fake.config.update(body or {})
        elif path == "/_fake/faults":
            fake.faults.extend(body if isinstance(body, list) else [body])
        elif path == "/_fake/turn":
            for operation in fake.operations.values():
                operation.update(left=0, failed=0, error=None, end="STATE_ACTIVE")
        elif path == "/_fake/copy":
            like = next(d for d in fake.documents.values() if d["displayName"] == body["displayName"])
            name = like["name"].rsplit("/", 1)[0] + "/" + new_id(like["displayName"])
            fake.documents[name] = {**like, "name": name, "createTime": fake.time()}
            fake.contents[name] = fake.contents[like["name"]]
            return {"copied": name}
        elif path == "/_fake/log":
            return fake.log
        return {"config": fake.config, "faults": fake.faults, "stores": list(fake.stores),
                "documents": list(fake.documents.values()), "files": list(fake.files), "operations": list(fake.operations)}

    def route(self, path, query, raw):
        fake, method = self.fake, self.command
        upload = re.fullmatch(r"/upload/v1\w*/(files|(fileSearchStores/[^/:]+):uploadToFileSearchStore)", path)
        if upload and method == "POST" and "upload_id" in query:  # the session URL is its own credential
            return fake.continue_upload(query["upload_id"], raw, self.headers)
        key = self.headers.get("x-goog-api-key") or query.get("key")
        if not key:
            raise ApiError(403, "Method doesn't allow unregistered callers (callers without established identity). "
                                "Please use API Key or other form of API consumer identity to call this API.")
        if key != fake.api_key:
            raise ApiError(400, "API key not valid. Please pass a valid API key.", details=[
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}])
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            raise bad("Invalid JSON payload received.") from None
        if upload and method == "POST":
            origin = "http://" + self.headers.get("Host", "127.0.0.1")
            return fake.start_upload(upload[2] or "files", body, self.headers, origin, path)
        rest = re.fullmatch(r"/v1\w*/(.+)", path)
        rest = rest[1] if rest else ""
        store, doc = r"(fileSearchStores/[^/:]+)", r"(fileSearchStores/[^/:]+/documents/[^/:]+)"
        force = query.get("force", "").lower() == "true"
        routes = [
            ("POST", r"fileSearchStores", lambda: fake.create_store(body)),
            ("GET", r"fileSearchStores", lambda: fake.page([fake.store_view(n) for n in fake.stores], query, "fileSearchStores")),
            ("GET", store, lambda n: fake.store_view(n)),
            ("DELETE", store, lambda n: fake.delete_store(n, force)),
            ("POST", store + ":importFile", lambda n: fake.import_file(n, body)),
            ("GET", store + "/documents", lambda n: fake.find(fake.stores, n, "FileSearchStore") and fake.page(
                [fake.poll_document(d["name"]) for d in fake.in_store(n)], query, "documents")),
            ("GET", doc, lambda n: fake.poll_document(n)),
            ("DELETE", doc, lambda n: fake.delete_document(n, force)),
            ("GET", r"(fileSearchStores/[^/:]+/(?:upload/)?operations/[^/:]+)", lambda n: fake.operation_view(n)),
            ("GET", r"files", lambda: fake.page(list(fake.files.values()), query, "files", 10, 100)),
            ("GET", r"(files/[^/:]+)", lambda n: fake.find(fake.files, n, "File")),
            ("DELETE", r"(files/[^/:]+)", lambda n: fake.find(fake.files, n, "File") and fake.files.pop(n) and {}),
            ("POST", r"models/([^/:]+):generateContent", lambda m: fake.generate(m, body)),
        ]
        for verb, pattern, action in routes:
            if verb == method and (match := re.fullmatch(pattern, rest)):
                return action(*match.groups()), {}
        raise ApiError(404, "Requested entity was not found.")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    # A test that looks for secrets among the arguments of processes gives it in the environment.
    parser.add_argument("--api-key", default=os.environ.get("FAKE_API_KEY", "test-key"))
    args = parser.parse_args()
    Handler.fake = Fake(args.api_key)
    server = ThreadingHTTPServer((args.host, args.port), Handler)
    server.daemon_threads = True
    print("listening on http://%s:%d" % server.server_address[:2], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
