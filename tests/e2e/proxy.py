"""A proxy before the warehouse, for what a network does: TLS, connections that are cut, a server that goes away.

It forwards bytes; what it is told to break it breaks for real clients and a real server.
"""

import contextlib
import socket
import ssl
import subprocess
import threading


def certificate(directory, name, authority=None, host="127.0.0.1"):
    """Makes name.pem (certificate) and name.key, signed by authority's or by itself."""
    pem, key = directory / f"{name}.pem", directory / f"{name}.key"
    arguments = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(pem)]
    if authority:
        arguments += ["-CA", str(directory / f"{authority}.pem"), "-CAkey", str(directory / f"{authority}.key"),
                      "-addext", f"subjectAltName=IP:{host}", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    return pem, key


class Proxy:
    """Forwards connections on a port of its own to 127.0.0.1:target."""

    def __init__(self, target, tls=None):
        self.target = target
        self.tls = tls
        self.cut_requests = 0   # connections to cut after 64 KiB of a request
        self.cut_answers = 0    # connections to cut when the server has begun to answer, before the client hears of it
        self.edit = None        # changes what the client sends
        self.requests = bytearray()
        self.listener = None
        self.sockets = set()
        self.lock = threading.Lock()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=50)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """Nobody listens any more, and every connection ends at once."""
        # A thread that waits in accept() keeps the socket listening.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for one in self.sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError):
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
            with client, socket.create_connection(("127.0.0.1", self.target)) as server:
                with self.lock:
                    self.sockets |= {client, server}
                answers = threading.Thread(target=self.forward, args=(server, client, False), daemon=True)
                answers.start()
                self.forward(client, server, True)
                answers.join(60)
                with self.lock:
                    self.sockets -= {client, server}

    def forward(self, source, sink, is_request):
        size = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                size += len(data)
                if is_request:
                    self.requests += data
                    if self.edit:
                        data = self.edit(data)
                with self.lock:
                    cut = self.cut_requests > 0 and size > 65536 if is_request else self.cut_answers > 0
                    if cut and is_request:
                        self.cut_requests -= 1
                    elif cut:
                        self.cut_answers -= 1
                if cut:
                    break
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def server_context(pem, key, client_authority=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    if client_authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_authority)
    return context
