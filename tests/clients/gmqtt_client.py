"""gmqtt: gmqtt_client.py DUNLIN-BINARY CERTIFICATES."""

import asyncio
import logging
import ssl
import sys

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from loopback import HOST, Dunlin, in_loop, listeners
from scenarios import GUARD, equal, run


class Client:
    """A connected client."""

    def __init__(self, id, **options):
        self.connected, self.acks, self.messages = (asyncio.Queue() for _ in range(3))
        self.client = gmqtt.Client(id, **options)
        self.client.on_connect = lambda client, flags, code, properties: self.connected.put_nowait((flags, code))
        self.client.on_subscribe = lambda client, mid, qos, properties: self.acks.put_nowait(list(qos))
        self.client.on_message = self.message

    async def message(self, client, topic, payload, qos, properties):
        self.messages.put_nowait((topic, payload.decode(), qos, bool(properties["retain"])))
        return 0

    async def connect(self, transport, version=MQTTv311):
        context = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.pem") if transport == "tls" else None
        await self.client.connect("localhost" if context else HOST, PORTS[transport], ssl=context, version=version)
        self.flags, code = await asyncio.wait_for(self.connected.get(), GUARD)
        equal(code, 0)
        return self

    async def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        equal(await asyncio.wait_for(self.acks.get(), GUARD), [qos])

    async def close(self):
        """Once the broker owes it nothing: what arrives after TLS was closed is an error to asyncio."""
        for _ in "PUBREC and PUBREL", "PUBCOMP":
            await self.subscribe("nothing", 0)
        await self.client.disconnect()

    async def expect(self, *message):
        equal(await asyncio.wait_for(self.messages.get(), GUARD), message)


@in_loop
async def every_qos_both_ways(transport):
    subscriber, publisher = await Client("subscriber").connect(transport), await Client("publisher").connect(transport)
    for subscribed in range(3):
        await subscriber.subscribe("qos", subscribed)
        for published in range(3):
            publisher.client.publish("qos", f"at {published}", qos=published)
            await subscriber.expect("qos", f"at {published}", min(subscribed, published), False)
    await subscriber.close()
    await publisher.close()


@in_loop
async def order(transport):
    client = await Client("order").connect(transport)
    await client.subscribe("order/#", 2)
    for qos in range(3):
        for number in range(300):
            client.client.publish(f"order/{qos}", str(number), qos=qos)
        for number in range(300):
            await client.expect(f"order/{qos}", str(number), qos, False)
    await client.close()


@in_loop
async def retained_and_will(transport):
    topic = f"will/{transport}"
    watcher = await Client("watcher").connect(transport)
    await watcher.subscribe(topic, 1)
    dies = await Client("dies", will_message=gmqtt.Message(topic, "gone", qos=1, retain=True)).connect(transport)
    # without a DISCONNECT, and without connecting again
    dies.client.stop_reconnect()
    dies.client._connection._transport.abort()
    await watcher.expect(topic, "gone", 1, False)
    late = await Client("late").connect(transport)
    await late.subscribe(topic, 1)
    await late.expect(topic, "gone", 1, True)
    await late.close()
    await watcher.close()


@in_loop
async def persistent_session(transport):
    first = await Client("stays", clean_session=False).connect(transport)
    equal(first.flags, 0)
    await first.subscribe("away/#", 1)
    await first.close()
    publisher = await Client("publisher").connect(transport)
    for number in range(40):
        publisher.client.publish("away/x", str(number), qos=1)
    await publisher.close()
    back = await Client("stays", clean_session=False).connect(transport)
    equal(back.flags, 1)
    for number in range(40):
        await back.expect("away/x", str(number), 1, False)
    await back.close()
    await (await Client("stays").connect(transport)).close()


@in_loop
async def by_its_defaults(transport):
    """MQTT 5 first, and where that is refused MQTT 3.1.1."""
    client = await Client("defaults").connect(transport, MQTTv50)
    await client.subscribe("defaults", 1)
    client.client.publish("defaults", "x", qos=1)
    await client.expect("defaults", "x", 1, False)
    await client.close()


if __name__ == "__main__":
    binary, CERTIFICATES = sys.argv[1:]
    # it logs that it is refused and that its connection breaks, which is what is asked of it
    logging.disable()
    transports = ["tcp", "tls"]
    with Dunlin(binary, listeners(CERTIFICATES, *transports)) as dunlin:
        PORTS = dict(zip(transports, dunlin.ports))
        scenarios = [every_qos_both_ways, order, retained_and_will, persistent_session]
        failed = run("gmqtt over", scenarios, transports) + run("gmqtt over", [by_its_defaults], ["tcp"])
        sys.exit(min(failed, 1))
