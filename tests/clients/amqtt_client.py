"""amqtt's client: amqtt_client.py DUNLIN-BINARY CERTIFICATES. Over WebSocket it asks for the path "/"."""

import asyncio
import logging
import sys

from amqtt.client import MQTTClient
from loopback import HOST, Dunlin, in_loop, listeners
from scenarios import GUARD, equal, run

SCHEMES = {"tcp": "mqtt", "tls": "mqtts", "ws": "ws", "wss": "wss"}


async def connected(id, transport, clean=True, will=None):
    config = {"auto_reconnect": False}
    if will:
        config["will"] = {"topic": will, "message": "gone", "qos": 1, "retain": True}
    client = MQTTClient(id, config=config)
    uri = f"{SCHEMES[transport]}://{'localhost' if transport in ('tls', 'wss') else HOST}:{PORTS[transport]}"
    code = await asyncio.wait_for(client.connect(uri, cleansession=clean, cafile=f"{CERTIFICATES}/ca.pem"), GUARD)
    equal(code, 0)
    return client


async def subscribe(client, topic, qos):
    equal(await asyncio.wait_for(client.subscribe([(topic, qos)]), GUARD), [qos])


async def publish(client, topic, payload, qos):
    """Returns when the acknowledgement of the QoS is there."""
    await asyncio.wait_for(client.publish(topic, payload.encode(), qos), GUARD)


async def expect(client, topic, payload, qos, retained=False):
    message = await client.deliver_message(timeout_duration=GUARD)
    packet = message.publish_packet
    got = message.topic, message.data.decode(), message.qos, packet.retain_flag
    equal(got, (topic, payload, qos, retained))


@in_loop
async def every_qos_both_ways(transport):
    subscriber, publisher = await connected("subscriber", transport), await connected("publisher", transport)
    for subscribed in range(3):
        await subscribe(subscriber, "qos", subscribed)
        for published in range(3):
            await publish(publisher, "qos", f"at {published}", published)
            await expect(subscriber, "qos", f"at {published}", min(subscribed, published))
    await subscriber.disconnect()
    await publisher.disconnect()


@in_loop
async def order(transport):
    subscriber, publisher = await connected("subscriber", transport), await connected("publisher", transport)
    await subscribe(subscriber, "order/#", 1)
    for qos in range(2):
        for number in range(100):
            await publish(publisher, f"order/{qos}", str(number), qos)
        for number in range(100):
            await expect(subscriber, f"order/{qos}", str(number), qos)
    await subscriber.disconnect()
    await publisher.disconnect()


@in_loop
async def persistent_session(transport):
    first = await connected("stays", transport, clean=False)
    await subscribe(first, "away/#", 1)
    await first.disconnect()
    publisher = await connected("publisher", transport)
    for number in range(40):
        await publish(publisher, "away/x", str(number), 1)
    await publisher.disconnect()
    back = await connected("stays", transport, clean=False)
    for number in range(40):
        await expect(back, "away/x", str(number), 1)
    await back.disconnect()
    await (await connected("stays", transport)).disconnect()


@in_loop
async def retained_and_will(transport):
    topic = f"will/{transport}"
    watcher = await connected("watcher", transport)
    await subscribe(watcher, topic, 1)
    dies = await connected("dies", transport, will=topic)
    # the connection of another client with its identifier takes its place
    again = await connected("dies", transport)
    await expect(watcher, topic, "gone", 1)
    late = await connected("late", transport)
    await subscribe(late, topic, 1)
    await expect(late, topic, "gone", 1, True)
    for client in again, late, watcher:
        await client.disconnect()


if __name__ == "__main__":
    binary, CERTIFICATES = sys.argv[1:]
    # it logs the broken connection, as this test intends
    logging.disable()
    with Dunlin(binary, listeners(CERTIFICATES, *SCHEMES)) as dunlin:
        PORTS = dict(zip(SCHEMES, dunlin.ports))
        sys.exit(run("amqtt over", [every_qos_both_ways, order, persistent_session, retained_and_will], SCHEMES))
