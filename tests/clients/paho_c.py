"""paho_c_pub and paho_c_sub, of Debian's paho.mqtt.c-examples: paho_c.py DUNLIN-BINARY CERTIFICATES."""

import subprocess
import sys

from loopback import HOST, Client, Dunlin, Program, listeners, write
from scenarios import GUARD, equal, run

# Seconds; a message that its client does not find arrives with the answer to a PINGREQ, after ten.
SOON = 5
SCHEMES = {"tcp": "tcp", "tls": "ssl", "ws": "ws", "wss": "wss"}


def command(program, transport, *more):
    transport, slash, path = transport.partition("/")
    host = "localhost" if transport in ("tls", "wss") else HOST
    uri = f"{SCHEMES[transport]}://{host}:{PORTS[transport]}{slash}{path}"
    return [program, "-c", uri, "--cafile", f"{CERTIFICATES}/ca.pem", *map(str, more)]


def publish(transport, topic, *more, qos=1):
    """Returns when the acknowledgement of the QoS is there."""
    line = command("paho_c_pub", transport, "-t", topic, "-q", qos, *more)
    done = subprocess.run(line, capture_output=True, text=True, timeout=GUARD)
    equal((done.returncode, done.stderr), (0, ""))


def every_qos_both_ways(transport):
    for subscribed in range(3):
        topic = f"{transport}/qos/{subscribed}"
        # a client with this message is subscribed
        publish(transport, f"{topic}/begin", "-m", "begin", "-r")
        line = command("paho_c_sub", transport, "-t", f"{topic}/#", "-q", subscribed, "--verbose")
        with Program("stdbuf", "-oL", *line) as subscriber:
            subscriber.wait_for(f"{topic}/begin\tbegin", within=SOON)
            for published in range(3):
                publish(transport, f"{topic}/{published}", "-m", "x", qos=published)
                subscriber.wait_for(f"{topic}/{published}\tx", within=SOON)


def burst_of_another_client(transport):
    topic, lines = f"{transport}/burst", [f"line {number}" for number in range(300)]
    publish(transport, topic, "-m", "begin", "-r")
    with Program("stdbuf", "-oL", *command("paho_c_sub", transport, "-t", topic, "-q", 1)) as subscriber:
        subscriber.wait_for("begin", within=SOON)
        with Client(PORTS["tcp"], "other") as other:
            for line in lines:
                other.mqtt.publish(topic, line, 1)
            subscriber.wait_for(lines[-1], within=SOON)
        equal(subscriber.lines[1:], lines)


def large_payload(transport):
    topic, payload = f"{transport}/large", "0123456789" * 50_000
    publish(transport, topic, "-f", write("large", payload), "-r")
    with Program("stdbuf", "-oL", *command("paho_c_sub", transport, "-t", topic, "-q", 1)) as subscriber:
        equal(subscriber.wait_for("0123456789", within=SOON), payload)


if __name__ == "__main__":
    binary, CERTIFICATES = sys.argv[1:]
    with Dunlin(binary, listeners(CERTIFICATES, *SCHEMES)) as dunlin:
        PORTS = dict(zip(SCHEMES, dunlin.ports))
        failed = run("Paho C over", [every_qos_both_ways, burst_of_another_client, large_payload], SCHEMES)
        # its own path is /mqtt
        failed += run("Paho C over", [large_payload], ["ws/", "wss/any/path"])
        sys.exit(min(failed, 1))
