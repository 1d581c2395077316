"""What the scripts of real programs share: programs that are started on 127.0.0.1 and end with the script, a dunlin among
them, and a paho-mqtt client whose events wait in queues."""

import asyncio
import contextlib
import functools
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import paho.mqtt.client as mqtt
from scenarios import GUARD, equal

FOLDER = tempfile.TemporaryDirectory()
# the folder is removed then, too
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
HOST = "127.0.0.1"


def path(name):
    """In a folder that goes with the script."""
    return os.path.join(FOLDER.name, name)


def write(name, text):
    with open(path(name), "w") as file:
        file.write(text)
    return path(name)


def free_port():
    """For programs that do not say which port they were given. Below those that the system gives to connections."""
    while True:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port


def accepts(port):
    """Waits until somebody listens there."""
    end = time.monotonic() + GUARD
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection((HOST, port), GUARD).close()
        assert time.monotonic() < end, f"nobody listens on port {port}"
        os.sched_yield()


def listeners(certificates, *transports):
    """The lines of a configuration for a listener of each of these."""
    text = ""
    for transport in transports:
        text += f'[[listener]]\naddress = "{transport}://{HOST}:0"\n'
        if transport in ("tls", "wss"):
            text += f'certificate_file = "{certificates}/server.pem"\nkey_file = "{certificates}/server.key"\n'
    return text


def in_loop(scenario):
    """The scenario with an event loop around it."""
    @functools.wraps(scenario)
    def wrapper(transport):
        asyncio.run(scenario(transport))

    return wrapper


class Program:
    """A program that runs until the block ends; its lines are kept."""

    def __init__(self, *command, **environment):
        self.lines, self.more = [], threading.Condition()
        # the kernel kills it when this script ends, however that ends
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **environment},
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.more:
                self.lines.append(line.rstrip("\n"))
                self.more.notify_all()
        with self.more:
            self.lines.append(None)
            self.more.notify_all()

    def wait_for(self, *words, within=GUARD):
        """The first line that has all of these words in it."""
        def found():
            return next((line for line in self.lines if line is None or all(word in line for word in words)), "")

        with self.more:
            self.more.wait_for(lambda: found() != "", within)
            line = found()
        assert line, f"no line with {words} within {within} s in {self.lines[-10:]}"
        return line

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ends(self):
        """The exit code, when it ends by itself."""
        return self.process.wait(GUARD)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.reader.join()
        self.process.stdout.close()


class Dunlin(Program):
    """A dunlin with this configuration, which accepts when it exists; `ports` are those of its listeners, in their order."""

    def __init__(self, binary, config, *flags):
        ready = path("ready")
        super().__init__(binary, "--config", write("dunlin.toml", config), "--ready-file", ready, *flags)
        self.wait_for("ready listeners=")
        with open(ready) as file:
            self.ports = [listener["port"] for listener in json.load(file)["listeners"]]

    def peer(self, client):
        """The address that the log says for the connection of a client."""
        words = self.wait_for(" connected ", f"client={client} ").split()
        peer = next(word for word in words if word.startswith("peer="))
        return peer.removeprefix("peer=").rsplit(":", 1)[0]


class Client:
    """A connected paho-mqtt client. It connects again when its connection breaks."""

    def __init__(self, port, id, clean=True, transport="tcp", source="", ca=None, prepare=None):
        self.codes, self.closed, self.acks, self.messages = (queue.Queue() for _ in range(4))
        self.id = id
        self.mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, id, clean_session=clean, protocol=mqtt.MQTTv311, transport=transport
        )
        self.mqtt.reconnect_delay_set(1, 1)
        self.mqtt.on_connect = lambda client, data, flags, code, properties: self.codes.put(code.value)
        self.mqtt.on_disconnect = lambda client, data, flags, code, properties: self.closed.put(code)
        self.mqtt.on_subscribe = lambda client, data, mid, codes, properties: self.acks.put([c.value for c in codes])
        self.mqtt.on_message = lambda client, data, message: self.messages.put(message)
        if ca:
            self.mqtt.tls_set(ca)
        if prepare:
            prepare(self.mqtt)
        self.mqtt.connect(HOST, port, 60, source)
        self.mqtt.loop_start()

    def connected(self, code=0):
        equal(self.codes.get(timeout=GUARD), code)
        return self

    def subscribe(self, *filters):
        self.mqtt.subscribe(list(filters))
        equal(self.acks.get(timeout=GUARD), [qos for _, qos in filters])
        return self

    def publish(self, topic, payload, qos=1, retain=False):
        """Returns when the acknowledgement of the QoS is there."""
        info = self.mqtt.publish(topic, payload, qos, retain)
        info.wait_for_publish(GUARD)
        assert info.is_published(), "not acknowledged"

    def next(self):
        """The next message: topic, payload, QoS, retained."""
        message = self.messages.get(timeout=GUARD)
        return message.topic, message.payload.decode(), message.qos, message.retain

    def until(self, topic):
        """All messages up to one with this topic."""
        got = [self.next()]
        while got[-1][0] != topic:
            got.append(self.next())
        return got[:-1]

    def __enter__(self):
        return self.connected()

    def __exit__(self, *_):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()
