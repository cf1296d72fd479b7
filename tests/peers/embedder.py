"""A maker of embeddings that speaks OpenAI's /v1/embeddings and always says the same of the same text.

usage: embedder.py PORT   (EMBEDDER_KEY: the key that it asks for)

A text is the sum of its words, and a word is numbers that its SHA-256 gives; so texts that share words lie near each other.
The model's name says how many numbers: `words-8`, `words-32`. Answers come in the opposite order of what was asked, which the
protocol allows: `index` says which is which. Every text that it saw is written to the file `seen` where it was started.
"""

import hashlib
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def embedding(text, length):
    numbers = [0.0] * length
    for word in text.lower().split():
        for at in range(length):
            byte = hashlib.sha256(f"{at} {word.strip('.,;:!?')}".encode()).digest()[0]
            numbers[at] += byte / 127.5 - 1
    return numbers


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, message, code):
        self.answer(status, {"error": {"message": message, "type": "invalid_request_error", "code": code}})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/embeddings":
            return self.refuse(404, f"no such path {self.path}", "not_found")
        if self.headers["Authorization"] != f"Bearer {os.environ['EMBEDDER_KEY']}":
            return self.refuse(401, "Incorrect API key provided: " + str(self.headers["Authorization"])[7:], "invalid_api_key")
        asked = json.loads(body)
        name, _, length = asked["model"].rpartition("-")
        if name != "words" or not length.isdigit():
            return self.refuse(404, f"The model `{asked['model']}` does not exist", "model_not_found")
        if not asked["input"] or "" in asked["input"]:
            return self.refuse(400, "input must not be empty", "invalid_input")
        with open("seen", "a") as seen:
            for text in asked["input"]:
                seen.write(json.dumps(text) + "\n")
        data = [
            {"object": "embedding", "index": index, "embedding": embedding(text, int(length))}
            for index, text in enumerate(asked["input"])
        ]
        self.answer(200, {"object": "list", "data": data[::-1], "model": asked["model"]})

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
