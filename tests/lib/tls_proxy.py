#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS in front of a unix socket, for tests: what dockerd does with --tlsverify, on loopback.

usage: tls_proxy.py CERT KEY CA SOCKET

Prints its port on one line, then serves until its standard input ends. Who comes without a certificate of the CA is refused.
"""
import socket
import ssl
import sys
import threading


def pass_on(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(raw, context, path):
    try:
        client = context.wrap_socket(raw, server_side=True)
    except OSError:
        raw.close()
        return
    engine = socket.socket(socket.AF_UNIX)
    try:
        engine.connect(path)
        back = threading.Thread(target=pass_on, args=(engine, client), daemon=True)
        back.start()
        pass_on(client, engine)
        back.join()
    except OSError:
        pass
    engine.close()
    client.close()


def accept_all(listener, context, path):
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve, args=(raw, context, path), daemon=True).start()


def main():
    cert, key, ca, path = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=accept_all, args=(listener, context, path), daemon=True).start()
    sys.stdin.read()


main()
