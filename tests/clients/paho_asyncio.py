"""paho-mqtt driven by asyncio, as Home Assistant drives it: paho_asyncio.py DUNLIN-BINARY CERTIFICATES. Each time that the
socket becomes readable, one packet is read: nobody asks TLS whether it has another one."""

import asyncio
import socket
import sys

import paho.mqtt.client as mqtt
from loopback import HOST, Dunlin, in_loop, listeners
from scenarios import GUARD, equal, run

BURST = 300


class Client:
    """paho-mqtt with its socket in the event loop."""

    def __init__(self, transport):
        self.loop = asyncio.get_running_loop()
        self.connected, self.subscribed, self.published = (self.loop.create_future() for _ in range(3))
        self.messages = asyncio.Queue()
        self.mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            protocol=mqtt.MQTTv311,
            transport="websockets" if transport == "wss" else "tcp",
        )
        self.mqtt.tls_set(f"{CERTIFICATES}/ca.pem")
        self.mqtt.on_socket_open = lambda client, data, sock: self.loop.add_reader(sock, self.mqtt.loop_read)
        self.mqtt.on_socket_close = lambda client, data, sock: self.loop.remove_reader(sock)
        self.mqtt.on_socket_register_write = lambda client, data, sock: self.loop.add_writer(sock, self.mqtt.loop_write)
        self.mqtt.on_socket_unregister_write = lambda client, data, sock: self.loop.remove_writer(sock)
        self.mqtt.on_connect = lambda client, data, flags, code, properties: self.connected.set_result(code.value)
        self.mqtt.on_subscribe = lambda *_: self.subscribed.set_result(None)
        self.mqtt.on_publish = lambda *_: self.published.set_result(None)
        self.mqtt.on_message = lambda client, data, message: self.messages.put_nowait(message)
        self.mqtt.connect("localhost", PORTS[transport])

    async def subscribe(self, topic):
        equal(await asyncio.wait_for(self.connected, GUARD), 0)
        self.mqtt.subscribe(topic, 1)
        await within_a_second(self.subscribed)


async def within_a_second(event):
    return await asyncio.wait_for(event, 1)


def packets(topic):
    """CONNECT and a burst of QoS 0 messages."""
    yield b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05burst"
    for number in range(BURST):
        body = len(topic).to_bytes(2, "big") + topic.encode() + b"%03d" % number
        yield bytes([0x30, len(body)]) + body


@in_loop
async def burst_of_another_client(transport):
    client = Client(transport)
    await client.subscribe("burst/#")
    got = []

    async def all_of_them():
        while len(got) < BURST:
            got.append(int((await client.messages.get()).payload))

    with socket.create_connection((HOST, PORTS["tcp"])) as other:
        other.sendall(b"".join(packets("burst/x")))
        try:
            await within_a_second(all_of_them())
        except asyncio.TimeoutError:
            raise AssertionError(f"{len(got)} of {BURST} messages in a second") from None
    equal(got, list(range(BURST)))
    client.mqtt.disconnect()


@in_loop
async def publish_to_itself(transport):
    client = Client(transport)
    await client.subscribe("own/#")
    client.mqtt.publish("own/x", "x", 1)
    await within_a_second(client.published)
    message = await within_a_second(client.messages.get())
    equal((message.topic, message.qos), ("own/x", 1))
    client.mqtt.disconnect()


if __name__ == "__main__":
    binary, CERTIFICATES = sys.argv[1:]
    transports = ["tls", "wss"]
    with Dunlin(binary, listeners(CERTIFICATES, "tcp", *transports)) as dunlin:
        PORTS = dict(zip(["tcp", *transports], dunlin.ports))
        sys.exit(run("paho-mqtt in asyncio, over", [burst_of_another_client, publish_to_itself], transports))
