#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""site.py ADDRESS FILE: a site's network on this machine, for the tests of egress.

Web servers at ADDRESS and on the loopback, and a resolver at ADDRESS to whom all names below
"example" but "no.such.example" are 203.0.113.9. Their ports go to FILE, as lines "NAME PORT".
"""

import http.server
import os
import socketserver
import struct
import sys
import threading


class Web(http.server.BaseHTTPRequestHandler):
    text = b"the site"

    def do_GET(self):
        body = b"\0" * (64 << 20) if self.path == "/big" else self.text
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Loopback(Web):
    text = b"the loopback"


class Resolver(socketserver.BaseRequestHandler):
    def handle(self):
        query, port = self.request
        end = query.index(b"\0", 12) + 5  # the name's end, type and class
        question = query[12:end]
        (kind,) = struct.unpack("!H", question[-4:-2])
        known = question[:-4].lower().endswith(b"\7example\0")
        known = known and not question.lower().startswith(b"\2no\4such")
        answers = 1 if known and kind == 1 else 0
        head = struct.pack("!2s5H", query[:2], 0x8180 | (0 if known else 3), 1, answers, 0, 0)
        record = struct.pack("!3HIH4B", 0xC00C, 1, 1, 60, 4, 203, 0, 113, 9)
        port.sendto(head + question + record * answers, self.client_address)


def main():
    address, ports = sys.argv[1:]
    servers = {
        "http": http.server.ThreadingHTTPServer((address, 0), Web),
        "loopback": http.server.ThreadingHTTPServer(("127.0.0.1", 0), Loopback),
        "dns": socketserver.UDPServer((address, 0), Resolver),
    }
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(ports + ".new", "w", encoding="ascii") as file:
        for name, server in servers.items():
            file.write(f"{name} {server.server_address[1]}\n")
    os.rename(ports + ".new", ports)
    threading.Event().wait()


main()
