"""mosquitto_pub and mosquitto_sub against a running broker: mosquitto_client.py HOST PORT. A subscriber is ready when it
says that its subscription was acknowledged; that nothing comes is shown by a later message that comes first."""

import itertools
import subprocess
import sys

from scenarios import GUARD, equal, run

HOST, PORT = sys.argv[1:3]
VERSIONS = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5": "mqttv5"}
numbers = itertools.count()


def fresh(what):
    """A name that no other scenario uses."""
    return f"{what}{next(numbers)}"


def command(program, version, *args):
    return [program, "-h", HOST, "-p", PORT, "-V", VERSIONS[version], *map(str, args)]


def publish(version, topic, *args, qos=0, input=None):
    """Returns when the acknowledgement of the QoS is there."""
    line = command("mosquitto_pub", version, "-t", topic, "-q", qos, *args)
    done = subprocess.run(line, input=input, capture_output=True, timeout=GUARD)
    equal((done.returncode, done.stderr), (0, b""))


class Subscriber:
    """A mosquitto_sub; subscribed when it exists, ended with the block. `form`: what is known of a message."""

    def __init__(self, version, *args, count=None, form="%t %q %r %p"):
        bounds = ["-W", GUARD] + (["-C", count] if count else [])
        line = command("mosquitto_sub", version, "-d", "-F", f"MESSAGE {form}", *bounds, *args)
        # stdbuf: lines are not buffered
        self.process = subprocess.Popen(["stdbuf", "-oL", *line], stdout=subprocess.PIPE, text=True)
        self.messages = []
        self.read_until("Subscribed (mid")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def read_until(self, words):
        """-W ends the process, and with it this loop. Without words, it reads to that end."""
        for line in self.process.stdout:
            if line.startswith("MESSAGE "):
                self.messages.append(tuple(line.rstrip("\n").split(" ", 4)[1:]))
            if words and line.startswith(words):
                return
        if words:
            raise AssertionError(f"mosquitto_sub ended without {words!r}, with {self.messages}")

    def expect(self, *expected):
        """The next messages: (topic, qos, retained, payload)."""
        for message in expected:
            if not self.messages:
                self.read_until("MESSAGE ")
            equal(self.messages.pop(0), tuple(map(str, message)))

    def ends(self):
        """It ends by itself, after -C messages."""
        equal(self.process.wait(GUARD), 0)

    def terminate(self):
        """It sends DISCONNECT and ends."""
        self.process.terminate()
        self.process.wait(GUARD)


def every_qos_both_ways(version):
    topic = fresh("m/qos/")
    for subscribed in range(3):
        with Subscriber(version, "-t", topic, "-q", subscribed, count=3) as subscriber:
            for published in range(3):
                publish(version, topic, "-m", f"at {published}", qos=published)
                subscriber.expect((topic, min(published, subscribed), 0, f"at {published}"))
            subscriber.ends()


def many_lines_in_order(version):
    topic = fresh("m/lines/")
    for qos in range(3):
        with Subscriber(version, "-t", topic, "-q", qos, count=500) as subscriber:
            publish(version, topic, "-l", qos=qos, input=b"".join(b"%d\n" % n for n in range(500)))
            subscriber.expect(*((topic, qos, 0, n) for n in range(500)))
            subscriber.ends()


def retained(version):
    topic = fresh("m/retained/")
    with Subscriber(version, "-t", topic, "-q", 2) as existing:
        for qos in range(3):
            for payload in ["first", "second"]:
                publish(version, topic, "-r", "-m", payload, qos=qos)
                existing.expect((topic, qos, 0, payload))
            with Subscriber(version, "-t", topic, "-q", 2, count=1) as new:
                new.expect((topic, qos, 1, "second"))
                new.ends()
            publish(version, topic, "-r", "-n", qos=qos)
            existing.expect((topic, qos, 0, ""))
            with Subscriber(version, "-t", topic, "-q", 2, count=1) as late:
                publish(version, topic, "-m", "nothing came before", qos=2)
                late.expect((topic, 2, 0, "nothing came before"))
            existing.expect((topic, 2, 0, "nothing came before"))


def will(version):
    for qos in range(3):
        topic = fresh("m/will/")
        said = ["--will-topic", topic, "--will-payload", "gone", "--will-qos", qos]
        with Subscriber(version, "-t", topic, "-q", 2) as watcher:
            with Subscriber(version, "-t", fresh("m/other/"), *said) as mortal:
                mortal.terminate()
            if version == "5":
                # its DISCONNECT asks for the Will
                watcher.expect((topic, qos, 0, "gone"))
            publish(version, topic, "-m", "nothing came before", qos=2)
            watcher.expect((topic, 2, 0, "nothing came before"))
            with Subscriber(version, "-t", fresh("m/other/"), *said) as mortal:
                mortal.process.kill()
                watcher.expect((topic, qos, 0, "gone"))


def persistent_session(version):
    id, topic = fresh("msession"), fresh("m/session/")
    session = ["-i", id, "-c", "-t", topic, "-q", 2]
    with Subscriber(version, "-E", *session) as away:
        away.ends()
    for number in range(10):
        publish(version, topic, "-m", number, qos=1 + number % 2)
    with Subscriber(version, *session, count=10) as back:
        back.read_until(None)
        back.ends()
        # a QoS 2 message is reported once it is released: order is kept within a QoS
        expected = sorted(range(10), key=lambda number: number % 2)
        equal(sorted(back.messages, key=lambda message: message[1]), [(topic, str(1 + number % 2), "0", str(number)) for number in expected])
    with Subscriber(version, "-E", "-i", id, "-t", topic) as clean:
        clean.ends()


def wildcards(version):
    root = fresh("mw")
    topics = [f"{root}{rest}" for rest in ["", "/a", "/a/b", "/x/b", "/a/b/c"]]
    table = {
        f"{root}/#": topics,
        f"{root}/+": [f"{root}/a"],
        f"{root}/+/b": [f"{root}/a/b", f"{root}/x/b"],
        "+/a/#": [f"{root}/a", f"{root}/a/b", f"{root}/a/b/c"],
    }
    for filter, matched in table.items():
        last = fresh("m/last/")
        with Subscriber(version, "-t", filter, "-t", last, "-q", 1) as subscriber:
            for topic in topics:
                publish(version, topic, "-m", "m", qos=1)
            publish(version, last, "-m", "last", qos=1)
            subscriber.expect(*((topic, 1, 0, "m") for topic in matched), (last, 1, 0, "last"))


def overlapping_filters(version):
    topic = fresh("m/overlap/")
    with Subscriber(version, "-t", topic, "-t", f"{topic}/#", "-q", 2) as subscriber:
        publish(version, topic, "-m", "once", qos=2)
        publish(version, topic, "-m", "last", qos=2)
        subscriber.expect((topic, 2, 0, "once"), (topic, 2, 0, "last"))


def large_payload(version):
    topic = fresh("m/large/")
    payload = "0123456789" * 100_000
    with Subscriber(version, "-t", topic, "-q", 1, count=1) as subscriber:
        publish(version, topic, "-s", qos=1, input=payload.encode())
        subscriber.expect((topic, 1, 0, payload))


if __name__ == "__main__":
    scenarios = [
        every_qos_both_ways,
        many_lines_in_order,
        retained,
        will,
        persistent_session,
        wildcards,
        overlapping_filters,
        large_payload,
    ]
    sys.exit(run("mosquitto-clients", scenarios, VERSIONS))
