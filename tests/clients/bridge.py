"""Debian's mosquitto as a bridge to dunlin: bridge.py DUNLIN-BINARY. The bridge has its defaults and "topic # both 1", in each
version that it speaks; where one of the two is killed, it tries again after a second instead of five to thirty."""

import contextlib
import queue
import signal
import socket
import sys
import time

from loopback import HOST, Client, Dunlin, Program, accepts, free_port, path, write
from scenarios import GUARD, equal, run

SOON = "restart_timeout 1\n"
COUNT = 300
# As a bridge it says in 3.1 and 3.1.1 by a bit of the Protocol Level (0x83, 0x84) what it asks for in MQTT 5 by its
# Subscription Options: No Local and Retain As Published.
VERSIONS = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5": "mqttv50"}


class Mosquitto(Program):
    """A mosquitto that bridges all topics to the dunlin at that port."""

    def __init__(self, version, to, more=""):
        self.port = free_port()
        more += f"bridge_protocol_version {VERSIONS[version]}\n"
        super().__init__("mosquitto", "-c", write("mosquitto.conf", CONFIGURATION % (self.port, to) + more))
        accepts(self.port)
        self.began = time.monotonic()

    def bridged(self):
        """Waits until the bridge has subscribed on dunlin: it says that it is there before it does."""
        with Client(self.port, "waits") as waits:
            equal(waits.subscribe(("bridged", 1)).next()[0], "bridged")


# Its own user, to which it changes where root starts it, would not let the kernel kill it with this script.
CONFIGURATION = f"""\
user root
listener %d {HOST}
allow_anonymous true
connection garden
address {HOST}:%d
topic # both 1
"""

# Its Client Identifier is made of the name of the machine and that of the connection.
STATE = f"$SYS/broker/connection/{socket.gethostname()}.garden/state"


def dunlin(port=0, *flags):
    broker = Dunlin(BINARY, f'[[listener]]\naddress = "{HOST}:{port}"\n', *flags)
    with Client(broker.ports[0], "before") as before:
        before.publish("bridged", "yes", retain=True)
    return broker


def connected_within_a_second(version):
    with dunlin() as broker, Client(broker.ports[0], "watcher") as watcher:
        watcher.subscribe(("$SYS/broker/connection/#", 1))
        with Mosquitto(version, broker.ports[0]) as mosquitto:
            equal(watcher.next()[:2], (STATE, "1"))
            took = time.monotonic() - mosquitto.began
            assert took < 1, f"after {took:.1f} s"
            with Client(broker.ports[0], "late") as late:
                late.subscribe((STATE, 1))
                equal(late.next(), (STATE, "1", 1, True))
        # its Will
        equal(watcher.next()[:2], (STATE, "0"))


def each_message_once_on_each_side(version):
    with dunlin() as broker, Client(broker.ports[0], "here") as here:
        filters = ("here/#", 2), ("there/#", 2), ("end/#", 1)
        here.subscribe(*filters)
        with Mosquitto(version, broker.ports[0]) as mosquitto, Client(mosquitto.port, "there") as there:
            mosquitto.bridged()
            there.subscribe(*filters)
            sent = [(f"{side}/{number}/{qos}", side) for side in ("here", "there") for number in range(50) for qos in range(3)]
            for topic, side in sent:
                publisher = here if side == "here" else there
                publisher.publish(topic, side, int(topic[-1]))
            # what came back would have come before these
            there.publish("end/there", "")
            got_here = here.until("end/there")
            here.publish("end/here", "")
            got_there = there.until("end/here")
            there.publish("end/last", "")
            got_here += here.until("end/last")
            for got in got_here, got_there:
                ends = [message for message in got if message[0].startswith("end/")]
                equal((len(ends), sorted(m[:2] for m in got if m not in ends)), (1, sorted(sent)))
                equal([message for message in got if message[3]], [])


def retained_messages_on_both(version):
    with dunlin() as broker, Client(broker.ports[0], "here") as here:
        here.publish("here/before", "1", retain=True)
        here.publish("here/cleared", "1", retain=True)
        here.subscribe(("sync/#", 1))
        with Mosquitto(version, broker.ports[0]) as mosquitto, Client(mosquitto.port, "there") as there:
            mosquitto.bridged()
            there.subscribe(("sync/#", 1))
            here.publish("here/live", "2", retain=True)
            here.publish("here/cleared", "", retain=True)
            there.publish("there/live", "3", retain=True)
            there.publish("there/cleared", "3", retain=True)
            there.publish("there/cleared", "", retain=True)
            here.publish("sync/here", "")
            there.publish("sync/there", "")
            there.until("sync/here")
            here.until("sync/there")
            expected = [("here/before", "1"), ("here/live", "2"), ("there/live", "3")]
            for port in broker.ports[0], mosquitto.port:
                with Client(port, "late") as late:
                    late.subscribe(("here/#", 1), ("there/#", 1))
                    late.publish("here/end", "")
                    equal(sorted(late.until("here/end")), [(topic, text, 1, True) for topic, text in expected])


def kill_of_dunlin_loses_nothing(version):
    """But the messages for a bridge of mosquitto 2.0 in MQTT 5, whose session ends with its connection: it does not say how
    long it is to be kept. What it has for dunlin it keeps itself."""
    port = free_port()
    data = "--data-dir", path("data")
    topics = [f"{side}/{number}" for number in range(COUNT) for side in ("here", "there")]
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(dunlin(port, *data))
        here = stack.enter_context(Client(port, "here", clean=False)).subscribe(("there/#", 1))
        publisher = stack.enter_context(Client(port, "publisher", clean=False))
        mosquitto = stack.enter_context(Mosquitto(version, port, SOON))
        there = stack.enter_context(Client(mosquitto.port, "there")).subscribe(("here/#", 1))
        mosquitto.bridged()
        infos = []
        for topic in topics:
            side = publisher if topic.startswith("here") else there
            infos.append(side.mqtt.publish(topic, "x", 1))
            if len(infos) == COUNT:
                infos[COUNT // 2].wait_for_publish(GUARD)
                broker.kill()
        stack.enter_context(dunlin(port, *data))
        for info in infos:
            info.wait_for_publish(GUARD)
        both = (here, "there/"), (there, "here/")
        for client, prefix in both[:1] if version == "5" else both:
            missing = {topic for topic in topics if topic.startswith(prefix)}
            with contextlib.suppress(queue.Empty):
                while missing:
                    missing.discard(client.next()[0])
            equal(missing, set())


def kill_of_mosquitto_loses_nothing_that_it_had_not_acknowledged(version):
    topics = [f"here/{number}" for number in range(COUNT)]
    with dunlin() as broker, Client(broker.ports[0], "here") as here:
        here.subscribe((STATE, 1))
        with Mosquitto(version, broker.ports[0], SOON) as mosquitto, Client(mosquitto.port, "there") as there:
            equal(here.next()[:2], (STATE, "1"))
            mosquitto.bridged()
            there.subscribe(("here/#", 1))
            here.publish("here/before", "")
            equal(there.next()[0], "here/before")
            # from now on it acknowledges nothing
            mosquitto.signal(signal.SIGSTOP)
            for topic in topics[: COUNT // 2]:
                here.publish(topic, "x")
            mosquitto.kill()
        equal(here.next()[:2], (STATE, "0"))
        for topic in topics[COUNT // 2 :]:
            here.publish(topic, "x")
        # dunlin answers the bridge only when the other subscriber is connected
        broker.signal(signal.SIGSTOP)
        with Mosquitto(version, broker.ports[0], SOON) as mosquitto, Client(mosquitto.port, "there") as there:
            there.subscribe(("here/#", 1))
            broker.signal(signal.SIGCONT)
            got = [there.next()[0]]
            # its acknowledgement may have been on its way when the first mosquitto was stopped
            if got == ["here/before"]:
                got = []
            equal(got + [there.next()[0] for _ in topics[len(got) :]], topics)


if __name__ == "__main__":
    BINARY = sys.argv[1]
    kept = [kill_of_mosquitto_loses_nothing_that_it_had_not_acknowledged]
    scenarios = [
        connected_within_a_second,
        each_message_once_on_each_side,
        retained_messages_on_both,
        kill_of_dunlin_loses_nothing,
    ]
    # in 3.1 the Protocol Level differs, the rest equals 3.1.1
    failed = run("mosquitto as a bridge in MQTT", scenarios[1:3], ["3.1"])
    failed += run("mosquitto as a bridge in MQTT", scenarios + kept, ["3.1.1"])
    failed += run("mosquitto as a bridge in MQTT", scenarios, ["5"])
    sys.exit(min(failed, 1))
