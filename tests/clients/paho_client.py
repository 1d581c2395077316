"""paho-mqtt against a running broker: paho_client.py HOST PORT. Each wait is for an event; that nothing comes is shown by
a later message that comes first."""

import itertools
import queue
import sys

import paho.mqtt.client as mqtt
from scenarios import GUARD, equal, run

HOST, PORT = sys.argv[1], int(sys.argv[2])
VERSIONS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311}
numbers = itertools.count()


def fresh(what):
    """A name that no other scenario uses; short, for MQTT 3.1 knows ids of 23 bytes at most."""
    return f"{what}{next(numbers)}"


class Client:
    """A connected client; what the callbacks say waits in queues."""

    def __init__(self, version, id=None, clean=True, will=None, ack=True):
        self.connected, self.closed, self.acks, self.messages = (queue.Queue() for _ in range(4))
        self.id = id or fresh("client")
        self.mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            self.id,
            clean_session=clean,
            protocol=VERSIONS[version],
            reconnect_on_failure=False,
            manual_ack=not ack,
        )
        self.mqtt.on_connect = lambda client, data, flags, code, properties: self.connected.put((flags, code))
        self.mqtt.on_disconnect = lambda client, data, flags, code, properties: self.closed.put(code)
        self.mqtt.on_subscribe = lambda client, data, mid, codes, properties: self.acks.put([c.value for c in codes])
        self.mqtt.on_unsubscribe = lambda client, data, mid, codes, properties: self.acks.put([])
        self.mqtt.on_message = lambda client, data, message: self.messages.put(message)
        if will:
            self.mqtt.will_set(**will)
        self.mqtt.connect(HOST, PORT, keepalive=60)
        self.mqtt.loop_start()
        flags, code = self.connected.get(timeout=GUARD)
        equal(code.value, 0)
        self.session_present = flags.session_present

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disconnect()

    def disconnect(self):
        if self.mqtt.is_connected():
            self.mqtt.disconnect()
            self.closed.get(timeout=GUARD)
        self.mqtt.loop_stop()

    def drop(self):
        """The network connection ends without a DISCONNECT."""
        self.mqtt.loop_stop()
        self.mqtt.socket().close()

    def subscribe(self, *filters):
        self.mqtt.subscribe(list(filters))
        equal(self.acks.get(timeout=GUARD), [qos for _, qos in filters])
        return self

    def unsubscribe(self, *filters):
        self.mqtt.unsubscribe(list(filters))
        self.acks.get(timeout=GUARD)

    def publish(self, topic, payload, qos=0, retain=False):
        """Returns when the acknowledgement of the QoS is there."""
        info = self.mqtt.publish(topic, payload, qos, retain)
        info.wait_for_publish(GUARD)
        assert info.is_published(), "not acknowledged"

    def next(self):
        return self.messages.get(timeout=GUARD)

    def expect(self, topic, payload, qos, retain=False):
        got = self.next()
        equal((got.topic, got.payload.decode(), got.qos, got.retain), (topic, payload, qos, retain))

    def expect_nothing(self):
        """A message that it sends to itself comes first."""
        own = fresh("nothing/")
        self.subscribe((own, 1))
        self.publish(own, "nothing came before", 1)
        self.expect(own, "nothing came before", 1)
        self.unsubscribe(own)


def every_qos_both_ways(version):
    topic = fresh("qos/")
    for subscribed in range(3):
        with Client(version) as subscriber, Client(version) as publisher:
            subscriber.subscribe((topic, subscribed))
            for published in range(3):
                publisher.publish(topic, f"at {published}", published)
                subscriber.expect(topic, f"at {published}", min(published, subscribed))
            subscriber.expect_nothing()


def order(version):
    topic = fresh("order/")
    for qos in range(3):
        with Client(version) as subscriber, Client(version) as publisher:
            subscriber.subscribe((topic, qos))
            for number in range(300):
                publisher.mqtt.publish(topic, str(number), qos)
            for number in range(300):
                subscriber.expect(topic, str(number), qos)


def retained(version):
    topic = fresh("retained/")
    with Client(version) as publisher, Client(version) as existing:
        existing.subscribe((topic, 2))
        for qos in range(3):
            for payload in ["first", "second"]:
                publisher.publish(topic, payload, qos, retain=True)
                existing.expect(topic, payload, qos)
            with Client(version) as new:
                new.subscribe((topic, 2))
                new.expect(topic, "second", qos, retain=True)
            publisher.publish(topic, "", qos, retain=True)
            existing.expect(topic, "", qos)
            with Client(version) as late:
                late.subscribe((topic, 2))
                late.expect_nothing()


def will(version):
    for qos in range(3):
        topic = fresh("will/")
        with Client(version) as watcher:
            watcher.subscribe((topic, 2))
            said = {"topic": topic, "payload": "gone", "qos": qos, "retain": True}
            Client(version, will=said).disconnect()
            watcher.expect_nothing()
            Client(version, will=said).drop()
            watcher.expect(topic, "gone", qos)
            with Client(version) as late:
                late.subscribe((topic, 2))
                late.expect(topic, "gone", qos, retain=True)
            watcher.publish(topic, "", 0, retain=True)


def persistent_session(version):
    id, topic = fresh("session"), fresh("session/")
    present = version != "3.1"  # whose CONNACK has no such flag
    Client(version, id).disconnect()
    with Client(version, id, clean=False) as away:
        equal(away.session_present, False)
        away.subscribe((topic + "/#", 2))
    with Client(version) as publisher:
        for number in range(40):
            publisher.publish(f"{topic}/{number}", str(number), 1 + number % 2)
    with Client(version, id, clean=False) as back:
        equal(back.session_present, present)
        # a QoS 2 message is reported once it is released: order is kept within a QoS
        messages = sorted((back.next() for _ in range(40)), key=lambda message: message.qos)
        got = [(message.topic, message.payload.decode(), message.qos) for message in messages]
        expected = sorted(range(40), key=lambda number: number % 2)
        equal(got, [(f"{topic}/{number}", str(number), 1 + number % 2) for number in expected])
        back.expect_nothing()
    with Client(version, id) as clean:
        equal(clean.session_present, False)
        clean.expect_nothing()


def unacknowledged_comes_again(version):
    id, topic = fresh("again"), fresh("again/")
    forgetful = Client(version, id, clean=False, ack=False).subscribe((topic, 1))
    with Client(version) as publisher:
        publisher.publish(topic, "again", 1)
    equal(forgetful.next().dup, False)
    forgetful.drop()
    with Client(version, id, clean=False) as back:
        again = back.next()
        equal((again.payload, again.qos, again.dup), (b"again", 1, True))
        back.expect_nothing()
    Client(version, id).disconnect()


def wildcards(version):
    root = fresh("wild")
    topics = [f"{root}{rest}" for rest in ["", "/a", "/a/b", "/x/b", "/a/b/c", "/"]]
    table = {
        f"{root}/#": topics,
        f"{root}/+": [f"{root}/a", f"{root}/"],
        f"{root}/+/b": [f"{root}/a/b", f"{root}/x/b"],
        f"{root}/a/b": [f"{root}/a/b"],
        "+/a/#": [f"{root}/a", f"{root}/a/b", f"{root}/a/b/c"],
    }
    with Client(version) as publisher:
        for filter, matched in table.items():
            with Client(version) as subscriber:
                subscriber.subscribe((filter, 1))
                for topic in topics:
                    publisher.publish(topic, "m", 1)
                for topic in matched:
                    subscriber.expect(topic, "m", 1)
                subscriber.unsubscribe(filter)
                subscriber.expect_nothing()


def overlapping_filters(version):
    topic = fresh("overlap/")
    with Client(version) as client:
        client.subscribe((topic, 0), (topic + "/#", 2), (topic + "/+", 1))
        client.publish(topic + "/a", "once", 2)
        client.expect(topic + "/a", "once", 2)
        client.publish(topic, "once", 2)
        client.expect(topic, "once", 2)
        client.expect_nothing()


def shared_subscription(version):
    topic = fresh("shared/")
    filter = f"$share/{fresh('group')}/{topic}"
    with Client(version) as one, Client(version) as two, Client(version) as publisher:
        one.subscribe((filter, 1))
        two.subscribe((filter, 1))
        for number in range(4):
            publisher.publish(topic, str(number), 1)
        equal(sorted(member.next().payload.decode() for member in [one, two] * 2), ["0", "1", "2", "3"])
        one.unsubscribe(filter)
        for number in range(2):
            publisher.publish(topic, str(number), 1)
            two.expect(topic, str(number), 1)
        one.expect_nothing()


def large_payload(version):
    topic = fresh("large/")
    payload = bytes(i % 251 for i in range(1_000_000))
    with Client(version) as subscriber, Client(version) as publisher:
        subscriber.subscribe((topic, 2))
        for qos in range(3):
            publisher.publish(topic, payload, qos)
            got = subscriber.next()
            equal((got.qos, got.payload == payload), (qos, True))


def takeover(version):
    id, topic = fresh("same"), fresh("taken/")
    first = Client(version, id, clean=False).subscribe((topic, 1))
    with Client(version, id, clean=False) as second:
        first.closed.get(timeout=GUARD)
        first.mqtt.loop_stop()
        with Client(version) as publisher:
            publisher.publish(topic, "to the second", 1)
        second.expect(topic, "to the second", 1)
    Client(version, id).disconnect()


if __name__ == "__main__":
    scenarios = [
        every_qos_both_ways,
        order,
        retained,
        will,
        persistent_session,
        unacknowledged_comes_again,
        wildcards,
        overlapping_filters,
        shared_subscription,
        large_payload,
        takeover,
    ]
    sys.exit(run("paho-mqtt", scenarios, VERSIONS))
