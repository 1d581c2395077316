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

    def __init__(self, id, clean_session=True, **options):
        self.connected, self.closed, self.acks, self.messages, self.all_properties = (asyncio.Queue() for _ in range(5))
        self.client = gmqtt.Client(id, clean_session, **options)
        self.client.on_connect = lambda client, flags, code, properties: self.connected.put_nowait((flags, code))
        self.client.on_subscribe = lambda client, mid, qos, properties: self.acks.put_nowait(list(qos))
        self.client.on_disconnect = lambda client, packet, exc=None: self.closed.put_nowait(packet)
        self.client.on_message = self.message

    async def message(self, client, topic, payload, qos, properties):
        self.all_properties.put_nowait(properties)
        self.messages.put_nowait((topic, payload.decode(), qos, bool(properties["retain"])))
        return 0

    async def connect(self, transport, version=MQTTv311):
        context = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.pem") if transport == "tls" else None
        await self.client.connect("localhost" if context else HOST, PORTS[transport], ssl=context, version=version)
        self.flags, code = await asyncio.wait_for(self.connected.get(), GUARD)
        equal(code, 0)
        return self

    async def subscribe(self, topic, qos):
        await self.subscribe_with(gmqtt.Subscription(topic, qos))

    async def subscribe_with(self, subscription):
        self.client.subscribe(subscription)
        equal(await asyncio.wait_for(self.acks.get(), GUARD), [subscription.qos])

    async def close(self):
        """Once the broker owes it nothing: what arrives after TLS was closed is an error to asyncio."""
        for _ in "PUBREC and PUBREL", "PUBCOMP":
            await self.subscribe("nothing", 0)
        await self.client.disconnect()

    async def expect(self, *message):
        """The next message; `properties` are its."""
        equal(await asyncio.wait_for(self.messages.get(), GUARD), message)
        self.properties = self.all_properties.get_nowait()


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


# What gmqtt adds to the properties of a message.
OWN = ("dup", "retain")


def said(properties):
    return {name: value for name, value in properties.items() if name not in OWN}


@in_loop
async def properties_of_mqtt_5(transport):
    """Which is what it speaks by its defaults; to a client of 3.1.1 beside it the message alone is sent."""
    properties = {
        "payload_format_id": 1,
        "message_expiry_interval": 1000,
        "content_type": "text/plain",
        "response_topic": "answers",
        "correlation_data": b"\0\xff",
        "user_property": [("b", "1"), ("a", "2"), ("b", "1")],
    }
    five, old = await Client("five").connect(transport, MQTTv50), await Client("old").connect(transport)
    for client in five, old:
        await client.subscribe("properties", 2)
    for qos in range(3):
        five.client.publish("properties", "x", qos=qos, **properties)
        await old.expect("properties", "x", qos, False)
        await five.expect("properties", "x", qos, False)
        expected = {name: value if name == "user_property" else [value] for name, value in properties.items()}
        equal(said(five.properties), expected)
    await five.close()
    await old.close()


@in_loop
async def subscription_options(transport):
    client = await Client("options").connect(transport, MQTTv50)
    other = await Client("other").connect(transport, MQTTv50)
    topic = f"options/{transport}"
    other.client.publish(topic, "kept", qos=1, retain=True)
    await other.close()
    first = gmqtt.Subscription(topic, 1, no_local=True, retain_as_published=True, subscription_identifier=7)
    await client.subscribe_with(first)
    await client.expect(topic, "kept", 1, True)
    equal(said(client.properties), {"subscription_identifier": [7]})
    await client.subscribe_with(gmqtt.Subscription(f"{topic}/#", 1, retain_handling_options=2, subscription_identifier=8))
    client.client.publish(topic, "own", qos=1)
    # not by the first
    await client.expect(topic, "own", 1, False)
    other = await Client("other").connect(transport, MQTTv50)
    other.client.publish(topic, "live", qos=1, retain=True)
    await client.expect(topic, "live", 1, True)
    equal(sorted(client.properties["subscription_identifier"]), [7, 8])
    other.client.publish(topic, "", qos=1, retain=True)
    await client.expect(topic, "", 1, True)
    await other.close()
    await client.close()


@in_loop
async def topic_aliases_of_the_broker(transport):
    client = await Client("aliases", topic_alias_maximum=3).connect(transport, MQTTv50)
    await client.subscribe("a/topic/longer/than/an/alias/#", 1)
    for number in range(60):
        client.client.publish(f"a/topic/longer/than/an/alias/{number % 4}", str(number), qos=1)
    aliases = 0
    for number in range(60):
        await client.expect(f"a/topic/longer/than/an/alias/{number % 4}", str(number), 1, False)
        aliases += "topic_alias" in client.properties
    assert aliases > 20, f"{aliases} messages with an alias"
    await client.close()


@in_loop
async def session_of_mqtt_5(transport):
    first = await Client("stays-5", clean_session=False, session_expiry_interval=1000).connect(transport, MQTTv50)
    equal(first.flags, 0)
    await first.subscribe("away-5/#", 1)
    await first.close()
    publisher = await Client("publisher").connect(transport, MQTTv50)
    for number in range(40):
        publisher.client.publish("away-5/x", str(number), qos=1, user_property=("n", str(number)))
    await publisher.close()
    back = await Client("stays-5", clean_session=False, session_expiry_interval=1000).connect(transport, MQTTv50)
    equal(back.flags, 1)
    for number in range(40):
        await back.expect("away-5/x", str(number), 1, False)
        equal(back.properties["user_property"], [("n", str(number))])
    await back.client.disconnect(session_expiry_interval=0)
    again = await Client("stays-5", clean_session=False).connect(transport, MQTTv50)
    equal(again.flags, 0)
    await again.close()


@in_loop
async def a_will_with_a_delay(transport):
    """It is sent when the session ends, and not if the client comes back to it."""
    watcher = await Client("watcher").connect(transport, MQTTv50)
    await watcher.subscribe("delay", 1)
    will = gmqtt.Message("delay", "gone", qos=1, will_delay_interval=1000)
    for clean in False, True:
        dies = await Client("mortal", False, will_message=will, session_expiry_interval=1000).connect(transport, MQTTv50)
        dies.client.stop_reconnect()
        dies.client._connection._transport.abort()
        back = await Client("mortal", clean, session_expiry_interval=0).connect(transport, MQTTv50)
        equal(back.flags, 0 if clean else 1)
        if clean:
            await watcher.expect("delay", "gone", 1, False)
        watcher.client.publish("delay", "nothing else came before", qos=1)
        await watcher.expect("delay", "nothing else came before", 1, False)
        await back.close()
    await watcher.close()


@in_loop
async def take_over(transport):
    """gmqtt keeps the DISCONNECT of the broker to itself; then it comes back, unless it is told not to."""
    first = await Client("same", session_expiry_interval=1000).connect(transport, MQTTv50)
    first.client.stop_reconnect()
    second = await Client("same", clean_session=False, session_expiry_interval=0).connect(transport, MQTTv50)
    equal(second.flags, 1)
    packet = await asyncio.wait_for(first.closed.get(), GUARD)
    equal(packet[0], 0x8E)
    await second.close()


if __name__ == "__main__":
    binary, CERTIFICATES = sys.argv[1:]
    # it logs the refusal and the broken connection, as this test intends
    logging.disable()
    transports = ["tcp", "tls"]
    with Dunlin(binary, listeners(CERTIFICATES, *transports)) as dunlin:
        PORTS = dict(zip(transports, dunlin.ports))
        scenarios = [every_qos_both_ways, order, retained_and_will, persistent_session]
        of_mqtt_5 = [
            properties_of_mqtt_5,
            subscription_options,
            topic_aliases_of_the_broker,
            session_of_mqtt_5,
            a_will_with_a_delay,
            take_over,
        ]
        failed = run("gmqtt over", scenarios + of_mqtt_5, transports)
        sys.exit(min(failed, 1))
