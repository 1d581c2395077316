"""paho-mqtt against the test bench: no sleep, and no proxy. tests/clients/bench runs it."""

import threading
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


@pytest.fixture(scope="session", autouse=True)
def suite():
    """Writes the seconds of the whole suite, from before the broker starts until it has ended."""
    began = time.monotonic()
    yield
    with open("took", "w") as took:
        print(f"{time.monotonic() - began:.2f}", file=took)


class Client:
    """A client in a thread of its own, which connects again by itself."""

    def __init__(self, broker, name, protocol=mqtt.MQTTv311, expiry=None, keep_alive=60):
        clean = {} if protocol == mqtt.MQTTv5 else {"clean_session": False}
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=protocol, **clean)
        self.paho.reconnect_delay_set(0.01, 0.05)
        self.connected, self.lost, self.payloads = threading.Event(), threading.Event(), []
        self.paho.on_connect = lambda *_: self.connected.set()
        self.paho.on_disconnect = lambda *_: self.lost.set()
        self.paho.on_message = lambda _client, _data, message: self.payloads.append(message.payload)
        more = {}
        if protocol == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = expiry
            more = {"properties": properties, "clean_start": False}
        self.paho.connect(broker.host, broker.port, keep_alive, **more)
        self.paho.loop_start()
        assert self.connected.wait(5)

    def stop(self):
        self.paho.disconnect()
        self.paho.loop_stop()


@pytest.fixture
def client(broker):
    clients = []

    def start(*args, **more):
        clients.append(Client(broker, *args, **more))
        return clients[-1]

    yield start
    for one in clients:
        one.stop()


def test_a_lost_puback_has_the_message_sent_again(broker, client):
    publisher = client("p")
    with broker.fault("close", packet="PUBACK", direction="to_client", times=1) as hits:
        publisher.paho.publish("a", "x", qos=1)
        broker.expect(packet="PUBLISH", direction="to_server", client="p", dup=True)
        broker.expect(packet="PUBACK", fault="none")
        assert hits() == 1
    # at least once
    broker.expect(filter="a", payload="x", count=2)


def test_a_dead_connection_is_found_by_the_keep_alive(broker, client):
    one = client("c", keep_alive=1)
    with broker.fault("half_open", client="c", times=1):
        broker.expect(packet="PINGREQ", client="c", fault="half_open", within="5s")
        assert one.lost.wait(5)
        broker.expect(client="c", packet="CONNECT", fault="none", count=2)


def test_a_session_expires_after_25_hours(broker, client):
    one = client("c", protocol=mqtt.MQTTv5, expiry=24 * 3600)
    one.paho.subscribe("a", qos=1)
    broker.expect(client="c", subscribed="a")
    one.stop()
    broker.advance("23h")
    broker.expect(client="c", state="away")
    broker.advance("25h")
    broker.expect(client="c", state="gone", within=0)


def test_a_take_over_ends_the_first_connection(broker, client):
    first = client("c")
    first.paho.reconnect_delay_set(60, 60)
    second = Client(broker, "c")
    assert first.lost.wait(5)
    broker.expect(client="c", packet="CONNECT", count=2)
    second.stop()


def test_a_killed_broker_has_what_it_acknowledged(broker, client):
    subscriber = client("s")
    subscriber.paho.subscribe("a", qos=1)
    broker.expect(client="s", subscribed="a")
    publisher = client("p")
    publisher.paho.publish("a", "before", qos=1).wait_for_publish(5)
    broker.expect(client="s", acknowledged=True)
    # nothing answers a PUBACK: it is stored when the broker has nothing to do
    broker.expect(idle=True)
    broker.restart()
    broker.expect(client="s", state="connected")
    broker.expect(client="p", state="connected")
    publisher.paho.publish("a", "after", qos=1)
    broker.expect(filter="a", payload="after")
    broker.expect(client="s", acknowledged=True)
    assert subscriber.payloads == [b"before", b"after"]


def test_what_is_missing_is_told(broker, client):
    client("p").paho.publish("a", "x", qos=1).wait_for_publish(5)
    with pytest.raises(AssertionError, match='"differs": \\["?\n? *"payload"') as told:
        broker.expect(filter="a", payload="y", within="20ms")
    assert told.value.problem["nearest"]["payload"] == "x"
