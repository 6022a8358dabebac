"""An HTTP service that lets in SPIFFE JWT-SVIDs and nothing else. It is not Countersign's: PyPI `spiffe` does the checking.

`GET` any path with `Authorization: Bearer <JWT-SVID>` answers `{"spiffe_id": "spiffe://…"}`, anything else 401.
AUDIENCE is the one audience that a token must have, SPIFFE_ENDPOINT_SOCKET the Workload API that gives the keys, PORT where to
listen. No token is ever printed.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from spiffe import JwtSource, JwtSvid, SpiffeId

AUDIENCE = os.environ["AUDIENCE"]


def caller(header: str, keys: JwtSource) -> SpiffeId:
    """Whom the header proves; raises where it proves nobody."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise ValueError("no bearer token")
    # The claim only says which bundle to look in; parse_and_validate checks the signature with it, and the trust domain again.
    claimed = JwtSvid.parse_insecure(token, {AUDIENCE}).spiffe_id
    bundle = keys.get_bundle_for_trust_domain(claimed.trust_domain)
    svid = JwtSvid.parse_and_validate(token, bundle, {AUDIENCE})
    if svid.audience != {AUDIENCE}:
        raise ValueError("the token is for others too")
    return svid.spiffe_id


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    keys: JwtSource

    def do_GET(self):
        try:
            headers = self.headers.get_all("Authorization", [])
            if len(headers) != 1:
                raise ValueError("not exactly one Authorization header")
            status, body = 200, {"spiffe_id": str(caller(headers[0], self.keys))}
        except Exception as fault:
            # The kind of fault only: its text might quote the token.
            status, body = 401, {"error": "invalid_token", "kind": type(fault).__name__}
        self.answer(status, body)

    def answer(self, status: int, body: dict):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Bearer error="invalid_token"')
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format, *arguments):
        """Says nothing: a log line could hold what a caller sent."""


def main():
    with JwtSource(timeout_in_seconds=30) as keys:
        Service.keys = keys
        ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Service).serve_forever()


if __name__ == "__main__":
    main()
