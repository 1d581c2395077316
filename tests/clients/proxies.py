"""nginx and haproxy in front of dunlin: proxies.py DUNLIN-BINARY CERTIFICATES. Clients come from addresses such as 127.0.0.2,
and the proxies from 127.0.0.1; haproxy can be made to report another address."""

import base64
import contextlib
import os
import socket
import sys

from loopback import HOST, Client, Dunlin, Program, accepts, free_port, path, write
from scenarios import GUARD, equal, run

# For documentation (RFC 5737).
ELSEWHERE = "203.0.113.9"


def listener(transport, *lines):
    text = [f'[[listener]]\naddress = "{transport}://{HOST}:0"', *lines]
    if transport == "tls":
        text.append(f'certificate_file = "{CERTIFICATES}/server.pem"\nkey_file = "{CERTIFICATES}/server.key"')
    return "\n".join(text) + "\n"


TRUSTED = 'trusted_proxies = ["127.0.0.1"]'
PROXY = f"proxy_protocol = true\n{TRUSTED}"
ANYBODY = "allow_anonymous = true"


def listeners():
    """By the names that the proxies' configurations have for their ports."""
    return {
        "tcp": listener("tcp", PROXY),
        "tls": listener("tls", PROXY),
        "ws": listener("ws", PROXY),
        "tcp_anybody": listener("tcp", PROXY, ANYBODY),
        "http": listener("ws", TRUSTED),
        "http_anybody": listener("ws", TRUSTED, ANYBODY),
        "http_unread": listener("ws"),
        "http_unread_anybody": listener("ws", ANYBODY),
        "http_pings": listener("ws", TRUSTED, ANYBODY, 'websocket_ping = "200ms"'),
    }


NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{}}
stream {{
    proxy_protocol on;
    ssl_certificate {certificates}/server.pem;
    ssl_certificate_key {certificates}/server.key;
    server {{ listen 127.0.0.1:{nginx_tcp}; proxy_pass 127.0.0.1:{tcp}; }}
    server {{ listen 127.0.0.1:{nginx_tls_ends} ssl; proxy_pass 127.0.0.1:{tcp}; }}
    server {{ listen 127.0.0.1:{nginx_tls_passes}; proxy_pass 127.0.0.1:{tls}; }}
}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {certificates}/server.pem;
    ssl_certificate_key {certificates}/server.key;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header Forwarded "";
    server {{ listen 127.0.0.1:{nginx_ws}; location / {{ proxy_pass http://127.0.0.1:{http_anybody}; }} }}
    server {{ listen 127.0.0.1:{nginx_wss} ssl; location / {{ proxy_pass http://127.0.0.1:{http_anybody}; }} }}
    server {{ listen 127.0.0.1:{nginx_refused}; location / {{ proxy_pass http://127.0.0.1:{http}; }} }}
    server {{ listen 127.0.0.1:{nginx_unread}; location / {{ proxy_pass http://127.0.0.1:{http_unread}; }} }}
    server {{ listen 127.0.0.1:{nginx_unread_anybody}; location / {{ proxy_pass http://127.0.0.1:{http_unread_anybody}; }} }}
    server {{
        listen 127.0.0.1:{nginx_pings};
        proxy_read_timeout 2s;
        location / {{ proxy_pass http://127.0.0.1:{http_pings}; }}
    }}
}}
"""

HAPROXY = """\
defaults
    mode tcp
    timeout connect 10s
    timeout client 1m
    timeout server 1m
listen v1
    bind 127.0.0.1:{haproxy_v1}
    server dunlin 127.0.0.1:{tcp} send-proxy check
listen v2
    bind 127.0.0.1:{haproxy_v2}
    server dunlin 127.0.0.1:{tcp} send-proxy-v2 check
listen v2_tls_ends
    bind 127.0.0.1:{haproxy_tls_ends} ssl crt {folder}/both.pem
    server dunlin 127.0.0.1:{tcp} send-proxy-v2-ssl-cn
listen v2_tls_passes
    bind 127.0.0.1:{haproxy_tls_passes}
    server dunlin 127.0.0.1:{tls} send-proxy-v2
listen v2_ws
    bind 127.0.0.1:{haproxy_ws}
    server dunlin 127.0.0.1:{ws} send-proxy-v2
listen http
    mode http
    option forwardfor
    timeout tunnel 1m
    bind 127.0.0.1:{haproxy_http}
    server dunlin 127.0.0.1:{http_anybody}
listen elsewhere
    bind 127.0.0.1:{haproxy_elsewhere}
    tcp-request connection set-src ipv4(203.0.113.9)
    server dunlin 127.0.0.1:{tcp} send-proxy-v2
listen elsewhere_anybody
    bind 127.0.0.1:{haproxy_elsewhere_anybody}
    tcp-request connection set-src ipv4(203.0.113.9)
    server dunlin 127.0.0.1:{tcp_anybody} send-proxy-v2
"""

# What asks clients for certificates.
NAMES = """\
defaults
    mode tcp
    timeout connect 10s
    timeout client 1m
    timeout server 1m
listen names
    bind 127.0.0.1:{haproxy_names} ssl crt {folder}/both.pem ca-file {certificates}/ca.pem verify optional
    server dunlin 127.0.0.1:{names} send-proxy-v2-ssl-cn
"""

ROUTES = {
    "nginx stream": ("nginx_tcp", "tcp"),
    "nginx stream that ends TLS": ("nginx_tls_ends", "tls"),
    "nginx stream that passes TLS on": ("nginx_tls_passes", "tls"),
    "nginx proxy_pass": ("nginx_ws", "ws"),
    "nginx proxy_pass that ends TLS": ("nginx_wss", "wss"),
    "haproxy send-proxy": ("haproxy_v1", "tcp"),
    "haproxy send-proxy-v2": ("haproxy_v2", "tcp"),
    "haproxy send-proxy-v2-ssl-cn that ends TLS": ("haproxy_tls_ends", "tls"),
    "haproxy send-proxy-v2 that passes TLS on": ("haproxy_tls_passes", "tls"),
    "haproxy send-proxy-v2, WebSocket": ("haproxy_ws", "ws"),
    "haproxy mode http": ("haproxy_http", "ws"),
}


def source(port):
    """One for each port: of more than 20 connections from one address in a minute, the log says only how many there were."""
    return f"127.0.0.{2 + sorted(PORTS).index(port)}"


def client(port, id, transport, prepare=None):
    return Client(
        PORTS[port], id,
        transport="websockets" if transport in ("ws", "wss") else "tcp",
        ca=f"{CERTIFICATES}/ca.pem" if transport in ("tls", "wss") else None,
        source=source(port),
        prepare=prepare,
    )


def messages_flow_through(route):
    port, transport = ROUTES[route]
    with client(port, f"flow-{port}", transport) as through:
        through.subscribe((f"{port}/#", 2))
        for qos in range(3):
            for size in 0, 200, 500_000:
                through.publish(f"{port}/{qos}", "x" * size, qos)
                equal(through.next(), (f"{port}/{qos}", "x" * size, qos, False))
        for number in range(300):
            through.mqtt.publish(f"{port}/many", str(number), 1)
        equal([through.next()[1] for _ in range(300)], [str(number) for number in range(300)])


def the_log_has_the_address_of_the_client(route):
    port, transport = ROUTES[route]
    with client(port, f"log-{port}", transport):
        equal(DUNLIN.peer(f"log-{port}"), source(port))


def refused(port, id, transport):
    through = client(port, id, transport)
    equal(through.codes.get(timeout=GUARD), 135)
    through.__exit__()


def nobody_is_let_in_by_accident(_):
    refused("nginx_refused", "refused-trusted", "ws")
    refused("nginx_unread", "refused-unread", "ws")
    refused("haproxy_elsewhere", "refused-elsewhere", "tcp")


def clients_from_elsewhere_where_anybody_may(_):
    with client("haproxy_elsewhere_anybody", "elsewhere", "tcp"):
        equal(DUNLIN.peer("elsewhere"), ELSEWHERE)
    # this proxy is not trusted
    with client("nginx_unread_anybody", "unread", "ws"):
        equal(DUNLIN.peer("unread"), HOST)


def frames(sock):
    """Opcode and payload of each frame that a server sends, of less than 126 bytes."""
    with sock.makefile("rb") as stream:
        while head := stream.read(2):
            yield head[0] & 0x0F, stream.read(head[1])


def masked(opcode, payload):
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def an_idle_websocket_outlives_the_timeout_of_nginx(_):
    with socket.create_connection((HOST, PORTS["nginx_pings"]), GUARD) as sock:
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += sock.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        sock.sendall(masked(2, b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04idle"))
        stream = frames(sock)
        equal(next(stream), (2, b"\x20\x02\x00\x00"))
        # about one in a second: longer than nginx waits
        for _ in range(4):
            equal(next(stream), (9, b""))
            sock.sendall(masked(10, b""))
        sock.sendall(masked(2, b"\xc0\x00"))
        equal(next(frame for frame in stream if frame[0] != 9), (2, b"\xd0\x00"))


def the_name_in_a_certificate_that_haproxy_verified_is_the_user(_):
    acl = write("acl", "user lamp\ntopic readwrite lamp/#\n")
    names = f'[auth]\nacl_file = "{acl}"\n' + listener("tcp", PROXY, 'identity = "common-name"\nallow_anonymous = false')
    with Dunlin(BINARY, names) as dunlin, proxy("haproxy", "names.cfg", NAMES, {"names": dunlin.ports[0]}):
        def certificate(client):
            client.tls_set(f"{CERTIFICATES}/ca.pem", f"{CERTIFICATES}/client.pem", f"{CERTIFICATES}/client.key")

        with client("haproxy_names", "with", "tcp", certificate) as lamp:
            lamp.subscribe(("#", 1))
            lamp.publish("other/x", "denied")
            lamp.publish("lamp/x", "allowed")
            equal(lamp.next()[:2], ("lamp/x", "allowed"))
        refused("haproxy_names", "without", "tls")


def proxy(program, name, text, ports):
    """A proxy in front of these ports; those that its configuration begins with its name for are its own."""
    own = {word.split("}")[0] for word in text.split("{" + program)[1:]}
    PORTS.update({program + rest: free_port() for rest in own})
    values = {**ports, **PORTS, "folder": path("")[:-1], "certificates": CERTIFICATES}
    file = write(name, text.format(**values))
    command = ["nginx", "-e", "stderr", "-c", file] if program == "nginx" else ["haproxy", "-db", "-f", file]
    started = Program(*command)
    for rest in own:
        accepts(PORTS[program + rest])
    return started


if __name__ == "__main__":
    BINARY, CERTIFICATES = sys.argv[1:]
    PORTS = {}
    with open(f"{CERTIFICATES}/server.pem") as chain, open(f"{CERTIFICATES}/server.key") as key:
        write("both.pem", chain.read() + key.read())
    by_name = listeners()
    with contextlib.ExitStack() as stack:
        DUNLIN = stack.enter_context(Dunlin(BINARY, "".join(by_name.values())))
        ports = dict(zip(by_name, DUNLIN.ports))
        stack.enter_context(proxy("nginx", "nginx.conf", NGINX, ports))
        stack.enter_context(proxy("haproxy", "haproxy.cfg", HAPROXY, ports))
        failed = run("behind", [messages_flow_through, the_log_has_the_address_of_the_client], ROUTES)
        scenarios = [
            nobody_is_let_in_by_accident,
            clients_from_elsewhere_where_anybody_may,
            an_idle_websocket_outlives_the_timeout_of_nginx,
            the_name_in_a_certificate_that_haproxy_verified_is_the_user,
        ]
        failed += run("behind", scenarios, ["proxies:"])
    sys.exit(min(failed, 1))
