"""What mosquitto_pub, mosquitto_sub and mosquitto_rr do in MQTT 5 alone, against a running broker: mosquitto_5.py HOST PORT."""

import subprocess
import sys

from mosquitto_client import Subscriber, command, fresh, publish
from scenarios import GUARD, equal, run

# All that mosquitto_sub shows of a PUBLISH: the last field is the user properties and the payload.
ALL = "%S,%C,%R %D %E,%F %P %p"


def said(packet, *properties):
    """The arguments for properties: an identifier, and a value, or two of a user property."""
    return [word for name, *values in properties for word in ("-D", packet, name, *values)]


PROPERTIES = said(
    "publish",
    ("payload-format-indicator", "1"),
    ("content-type", "text/plain"),
    ("response-topic", "answers/here"),
    ("correlation-data", "17"),
    ("user-property", "b", "1"),
    ("user-property", "a", "2"),
    ("user-property", "b", "1"),
)
EXPIRES = said("publish", ("message-expiry-interval", "1000"))


def properties_are_passed_on(version):
    topic = fresh("m5/properties/")
    identifier = said("subscribe", ("subscription-identifier", "268435455"))
    for qos in range(3):
        with Subscriber(version, "-t", topic, "-q", qos, *identifier, form=ALL) as five, Subscriber("3.1.1", "-t", topic) as old:
            publish(version, topic, "-m", "x", *PROPERTIES, *EXPIRES, qos=qos)
            five.expect(("268435455,text/plain,answers/here", "17", "1000,1", "b:1 a:2 b:1 x"))
            publish("3.1.1", topic, "-m", "of 3.1.1", qos=qos)
            five.expect(("268435455,,", "", ",", " of 3.1.1"))
            old.expect((topic, 0, 0, "x"), (topic, 0, 0, "of 3.1.1"))


def properties_of_a_will(version):
    topic = fresh("m5/will/")
    will = ["--will-topic", topic, "--will-payload", "gone", "--will-qos", 1]
    will += said("will", ("content-type", "text/plain"), ("user-property", "b", "1"), ("user-property", "a", "2"))
    with Subscriber(version, "-t", topic, form=ALL) as watcher, Subscriber(version, "-t", fresh("m5/other/"), *will) as mortal:
        mortal.process.kill()
        watcher.expect((",text/plain,", "", ",", "b:1 a:2 gone"))


def a_will_waits_for_its_delay(version):
    """Until the delay ends, or the session: a client that begins a new one is not the same."""
    topic, id = fresh("m5/delay/"), fresh("m5mortal")
    session = ["-i", id, "-t", fresh("m5/other/"), "-c", "-x", 1000, "--will-topic", topic, "--will-payload", "gone"]
    with Subscriber(version, "-t", topic) as watcher:
        for delay, comes_back in (1, []), (1000, ["-i", id, "-c"]), (1000, ["-i", id]):
            with Subscriber(version, *session, *said("will", ("will-delay-interval", str(delay)))) as mortal:
                mortal.process.kill()
                mortal.process.wait()
            if comes_back:
                with Subscriber(version, "-E", "-t", topic, *comes_back) as back:
                    back.ends()
            if comes_back != ["-i", id, "-c"]:
                watcher.expect((topic, 0, 0, "gone"))
            publish(version, topic, "-m", "nothing else came before", qos=1)
            watcher.expect((topic, 0, 0, "nothing else came before"))


def requests_are_answered(version):
    """By mosquitto_rr and, as it does, by topic alone in 3.1.1."""
    requests, answers = fresh("m5/requests/"), fresh("m5/answers/")
    with Subscriber("5", "-t", requests, form="%R , %D %p") as responder:
        for asks in version, "3.1.1":
            line = command("mosquitto_rr", asks, "-t", requests, "-e", answers, "-q", 1, "-m", "ping", "-W", GUARD)
            line += said("publish", ("correlation-data", "42")) if asks == "5" else []
            requester = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            responder.expect((answers, ",", "42", "ping") if asks == "5" else ("", ",", "", "ping"))
            publish("5", answers, "-m", "pong", *said("publish", ("correlation-data", "42")), qos=1)
            equal((*requester.communicate(timeout=GUARD), requester.returncode), ("pong\n", "", 0))


def topic_aliases_of_a_publisher(version):
    """It says the topic in the first message alone."""
    topic = fresh("m5/a/topic/longer/than/an/alias/")
    with Subscriber(version, "-t", topic, "-q", 1) as five, Subscriber("3.1.1", "-t", topic, "-q", 1) as old:
        lines = b"".join(b"%d\n" % n for n in range(100))
        publish(version, topic, "-l", *said("publish", ("topic-alias", "3")), qos=1, input=lines)
        for subscriber in five, old:
            subscriber.expect(*((topic, 1, 0, n) for n in range(100)))


def retain_handling_and_retain_as_published(version):
    topic = fresh("m5/handling/")
    publish(version, topic, "-r", "-m", "kept", qos=1)
    # -R asks the broker for no existing retained messages
    for options, gets in ([], True), (["-R"], False):
        with Subscriber(version, "-t", topic, "-q", 1, "--retain-as-published", *options) as subscriber:
            publish(version, topic, "-m", "live", qos=1)
            subscriber.expect(*[(topic, 1, 1, "kept")] * gets, (topic, 1, 0, "live"))
            if gets:
                publish(version, topic, "-r", "-m", "kept", qos=1)
                subscriber.expect((topic, 1, 1, "kept"))
    publish(version, topic, "-r", "-n", qos=1)


def a_session_expires_when_it_says(version):
    id, topic = fresh("m5session"), fresh("m5/session/")
    session = ["-i", id, "-c", "-t", topic, "-q", 1]
    # for a while: messages are queued with their properties
    with Subscriber(version, "-E", *session, "-x", 1000) as away:
        away.ends()
    publish(version, topic, "-m", "while away", *PROPERTIES, *EXPIRES, qos=1)
    with Subscriber(version, *session, "-x", 0, form="%C %R %D %P %p") as back:
        back.expect(("text/plain", "answers/here", "17", "b:1 a:2 b:1 while away"))
        back.terminate()
    # not at all
    publish(version, topic, "-m", "lost", qos=1)
    with Subscriber(version, *session, "-x", 0) as again:
        publish(version, topic, "-m", "new", qos=1)
        again.expect((topic, 1, 0, "new"))


def nobody_subscribes(version):
    topic = fresh("m5/nobody/")
    line = command("mosquitto_pub", version, "-d", "-q", 1, "-t", topic, "-m", "x")
    for code in "16", "0":
        done = subprocess.run(line, capture_output=True, text=True, timeout=GUARD)
        equal((done.returncode, f"received PUBACK (Mid: 1, RC:{code})" in done.stdout), (0, True))
        if code == "16":
            subscriber = Subscriber(version, "-t", topic)
    with subscriber:
        subscriber.expect((topic, 0, 0, "x"))


def a_take_over_is_told(version):
    id, topic = fresh("m5same"), fresh("m5/taken/")
    with Subscriber(version, "-i", id, "-t", topic) as first:
        with Subscriber("3.1.1", "-i", id, "-t", topic) as second:
            first.read_until("Received DISCONNECT (142)")
            publish(version, topic, "-m", "to the second", qos=1)
            second.expect((topic, 0, 0, "to the second"))


def a_group_shares_its_messages(version):
    """With members of both versions, with and without an identifier."""
    topic = fresh("m5/shared/")
    filter = f"$share/{fresh('group')}/{topic}"
    publish("5", topic, "-r", "-m", "kept", qos=1)
    identifier = said("subscribe", ("subscription-identifier", "9"))
    form = "%S %t %q %r %p"
    with Subscriber(version, "-t", filter, "-q", 1, *identifier, form=form) as one, Subscriber("3.1.1", "-t", filter, "-q", 1) as two:
        for number in range(6):
            publish(version, topic, "-m", number, qos=1)
        # in turn, in either order; neither gets the retained message
        one.read_until("MESSAGE ")
        first = int(one.messages[0][-1].split(" ")[-1])
        one.expect(*(("9", topic, 1, f"0 {number}") for number in range(first, 6, 2)))
        two.expect(*((topic, 1, 0, number) for number in range(1 - first, 6, 2)))
        two.terminate()
        for number in range(2):
            publish(version, topic, "-m", number, qos=1)
        one.expect(*(("9", topic, 1, f"0 {number}") for number in range(2)))
    publish("5", topic, "-r", "-n", qos=1)


if __name__ == "__main__":
    scenarios = [
        properties_are_passed_on,
        properties_of_a_will,
        a_will_waits_for_its_delay,
        requests_are_answered,
        topic_aliases_of_a_publisher,
        retain_handling_and_retain_as_published,
        a_session_expires_when_it_says,
        nobody_subscribes,
        a_take_over_is_told,
        a_group_shares_its_messages,
    ]
    sys.exit(run("mosquitto-clients", scenarios, ["5"]))
