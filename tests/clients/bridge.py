"""Debian's mosquitto as a bridge to dunlin: bridge.py DUNLIN-BINARY. The bridge has its defaults and "topic # both 1"; where
one of the two is killed, it tries again after a second instead of five to thirty."""

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


class Mosquitto(Program):
    """A mosquitto that bridges all topics to the dunlin at that port."""

    def __init__(self, to, more=""):
        self.port = free_port()
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


def connected_within_a_second(_):
    with dunlin() as broker, Client(broker.ports[0], "watcher") as watcher:
        watcher.subscribe(("$SYS/broker/connection/#", 1))
        with Mosquitto(broker.ports[0]) as mosquitto:
            equal(watcher.next()[:2], (STATE, "1"))
            took = time.monotonic() - mosquitto.began
            assert took < 1, f"after {took:.1f} s"
            with Client(broker.ports[0], "late") as late:
                late.subscribe((STATE, 1))
                equal(late.next(), (STATE, "1", 1, True))
        # its Will
        equal(watcher.next()[:2], (STATE, "0"))


def each_message_once_on_each_side(_):
    with dunlin() as broker, Client(broker.ports[0], "here") as here:
        filters = ("here/#", 2), ("there/#", 2), ("end/#", 1)
        here.subscribe(*filters)
        with Mosquitto(broker.ports[0]) as mosquitto, Client(mosquitto.port, "there") as there:
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


def retained_messages_on_both(_):
    with dunlin() as broker, Client(broker.ports[0], "here") as here:
        here.publish("here/before", "1", retain=True)
        here.publish("here/cleared", "1", retain=True)
        here.subscribe(("sync/#", 1))
        with Mosquitto(broker.ports[0]) as mosquitto, Client(mosquitto.port, "there") as there:
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


def kill_of_dunlin_loses_nothing(_):
    port = free_port()
    data = "--data-dir", path("data")
    topics = [f"{side}/{number}" for number in range(COUNT) for side in ("here", "there")]
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(dunlin(port, *data))
        here = stack.enter_context(Client(port, "here", clean=False)).subscribe(("there/#", 1))
        publisher = stack.enter_context(Client(port, "publisher", clean=False))
        mosquitto = stack.enter_context(Mosquitto(port, SOON))
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
        for client, prefix in (here, "there/"), (there, "here/"):
            missing = {topic for topic in topics if topic.startswith(prefix)}
            with contextlib.suppress(queue.Empty):
                while missing:
                    missing.discard(client.next()[0])
            equal(missing, set())


def kill_of_mosquitto_loses_nothing_that_it_had_not_acknowledged(_):
    topics = [f"here/{number}" for number in range(COUNT)]
    with dunlin() as broker, Client(broker.ports[0], "here") as here:
        here.subscribe((STATE, 1))
        with Mosquitto(broker.ports[0], SOON) as mosquitto, Client(mosquitto.port, "there") as there:
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
        # dunlin answers the bridge only when the other subscriber is there
        broker.signal(signal.SIGSTOP)
        with Mosquitto(broker.ports[0], SOON) as mosquitto, Client(mosquitto.port, "there") as there:
            there.subscribe(("here/#", 1))
            broker.signal(signal.SIGCONT)
            equal([there.next()[0] for _ in topics], topics)


if __name__ == "__main__":
    BINARY = sys.argv[1]
    scenarios = [
        connected_within_a_second,
        each_message_once_on_each_side,
        retained_messages_on_both,
        kill_of_dunlin_loses_nothing,
        kill_of_mosquitto_loses_nothing_that_it_had_not_acknowledged,
    ]
    sys.exit(run("mosquitto as a", scenarios, ["bridge:"]))
