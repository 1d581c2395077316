"""paho-mqtt in MQTT 5, and beside it in 3.1.1: paho_5.py DUNLIN-BINARY. Each wait is for an event; that nothing comes is shown
by a later message that comes first."""

import itertools
import os
import queue
import subprocess
import sys

import paho.mqtt.client as mqtt
from loopback import HOST, Dunlin, path, write
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from scenarios import GUARD, equal, run

numbers = itertools.count()
FOR_EVER = 0xFFFFFFFF
# With a session that is kept: Session Expiry Interval.
KEPT = {"SessionExpiryInterval": FOR_EVER}


def fresh(what):
    """A name that no other scenario uses."""
    return f"{what}{next(numbers)}"


def properties(packet, said):
    """`said`: names and values; a list where there are several."""
    all = Properties(packet)
    for name, value in said.items():
        for one in value if isinstance(value, list) else [value]:
            setattr(all, name, one)
    return all


def said_in(all):
    """The other way."""
    return {} if all is None else {name: value for name, value in vars(all).items() if name not in ("packetType", "types", "names", "properties")}


class Client:
    """A connected client; what the callbacks say waits in queues. `session`: what CONNECT says besides."""

    def __init__(self, id=None, clean=True, version=5, port=None, will=None, user=None, **session):
        self.connected, self.closed, self.acks, self.published, self.messages = (queue.Queue() for _ in range(5))
        self.id, self.version = id or fresh("five"), version
        protocol, more = (mqtt.MQTTv5, {}) if version == 5 else (mqtt.MQTTv311, {"clean_session": clean})
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, self.id, protocol=protocol, reconnect_on_failure=False, **more)
        self.mqtt.on_connect = lambda client, data, flags, code, all: self.connected.put((flags, code, all))
        self.mqtt.on_disconnect = lambda client, data, flags, code, all: self.closed.put((flags, code))
        self.mqtt.on_subscribe = lambda client, data, mid, codes, all: self.acks.put([c.value for c in codes])
        self.mqtt.on_unsubscribe = self.mqtt.on_subscribe
        self.mqtt.on_publish = lambda client, data, mid, code, all: self.published.put(code.value)
        self.mqtt.on_message = lambda client, data, message: self.messages.put(message)
        if user:
            self.mqtt.username_pw_set(*user)
        if will:
            self.mqtt.will_set(**will)
        if version == 5:
            more = {"clean_start": clean, "properties": properties(PacketTypes.CONNECT, session)}
        self.mqtt.connect(HOST, port or PORT, 60, **(more if version == 5 else {}))
        self.mqtt.loop_start()
        flags, code, told = self.connected.get(timeout=GUARD)
        equal(code.value, 0)
        self.is_open = True
        self.session_present, self.told = flags.session_present, said_in(told)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disconnect()

    def disconnect(self, code=0, **said):
        if self.is_open:
            self.is_open = False
            reason = ReasonCode(PacketTypes.DISCONNECT, identifier=code) if code or said else None
            self.mqtt.disconnect(reason, properties(PacketTypes.DISCONNECT, said) if said else None)
            self.closed.get(timeout=GUARD)
        self.mqtt.loop_stop()

    def drop(self):
        """The network connection ends without a DISCONNECT."""
        self.mqtt.loop_stop()
        self.mqtt.socket().close()

    def ended_by_broker(self):
        """The Reason Code of the DISCONNECT that the broker sent."""
        flags, code = self.closed.get(timeout=GUARD)
        self.is_open = False
        self.mqtt.loop_stop()
        equal(flags.is_disconnect_packet_from_server, True)
        return code.value

    def subscribe(self, *filters, qos=1, identifier=None, **options):
        """The Reason Codes."""
        if self.version != 5:
            self.mqtt.subscribe([(filter, qos) for filter in filters])
            return self.acks.get(timeout=GUARD)
        said = properties(PacketTypes.SUBSCRIBE, {"SubscriptionIdentifier": identifier} if identifier else {})
        self.mqtt.subscribe([(filter, SubscribeOptions(qos=qos, **options)) for filter in filters], properties=said)
        return self.acks.get(timeout=GUARD)

    def unsubscribe(self, *filters):
        self.mqtt.unsubscribe(list(filters))
        return self.acks.get(timeout=GUARD)

    def publish(self, topic, payload="", qos=1, retain=False, **said):
        """The Reason Code of the PUBACK, or of the PUBCOMP: paho-mqtt does not say that of a PUBREC."""
        self.mqtt.publish(topic, payload, qos, retain, properties(PacketTypes.PUBLISH, said) if self.version == 5 else None)
        return self.published.get(timeout=GUARD)

    def next(self):
        """The next message: topic, payload, retained, properties."""
        message = self.messages.get(timeout=GUARD)
        return message.topic, message.payload.decode(), message.retain, said_in(message.properties)

    def expect(self, topic, payload, retain=False, **said):
        equal(self.next(), (topic, payload, retain, said))

    def expect_nothing(self):
        """A message that it sends to itself comes first."""
        own = fresh("nothing/")
        self.subscribe(own)
        self.publish(own, "nothing came before")
        self.expect(own, "nothing came before")
        self.unsubscribe(own)


ALL = {
    "PayloadFormatIndicator": 1,
    "ContentType": "application/json; charset=utf-8",
    "ResponseTopic": "answers/here",
    "CorrelationData": bytes(range(256)),
    "UserProperty": [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("ключ", "значение")],
}


def properties_are_passed_on(_):
    for qos in range(3):
        topic = fresh("all/")
        with Client() as five, Client(version=4) as four, Client() as publisher:
            equal((five.subscribe(topic, qos=qos), four.subscribe(topic, qos=qos)), ([qos], [qos]))
            publisher.publish(topic, "live", qos, retain=True, MessageExpiryInterval=1000, **ALL)
            five.expect(topic, "live", MessageExpiryInterval=1000, **ALL)
            four.expect(topic, "live")
            with Client() as late:
                late.subscribe(topic)
                topic_, payload, retain, said = late.next()
                equal((topic_, payload, retain, 990 < said.pop("MessageExpiryInterval") <= 1000, said), (topic, "live", True, True, ALL))
            # and a message of a client of 3.1.1
            four.publish(topic, "plain", qos)
            five.expect(topic, "plain")
            publisher.publish(topic, "", 1, retain=True)


def properties_of_a_will(_):
    topic = fresh("will/")
    with Client() as watcher:
        watcher.subscribe(topic)
        for how in "dropped", "with Will", "in order":
            will = {"topic": topic, "payload": how, "qos": 1, "properties": properties(PacketTypes.WILLMESSAGE, ALL)}
            dies = Client(will=will)
            if how == "dropped":
                dies.drop()
            else:
                dies.disconnect(code=4 if how == "with Will" else 0)
            if how == "in order":
                watcher.expect_nothing()
            else:
                watcher.expect(topic, how, **ALL)


def a_will_waits_for_its_delay(_):
    topic, id = fresh("delay/"), fresh("mortal")

    def dies(payload, delay, **session):
        said = properties(PacketTypes.WILLMESSAGE, {"WillDelayInterval": delay, "ContentType": "text/plain"})
        will = {"topic": topic, "payload": payload, "qos": 1, "properties": said}
        Client(id, False, will=will, **session).drop()

    with Client() as watcher:
        watcher.subscribe(topic)
        # the delay ends
        dies("after a second", 1, **KEPT)
        watcher.expect(topic, "after a second", ContentType="text/plain")
        # the client reconnects before
        dies("not at all", 1000, **KEPT)
        with Client(id, False, **KEPT) as back:
            equal(back.session_present, True)
        watcher.expect_nothing()
        # the session ends before: by its own interval, with its connection, by another client's Clean Start
        for payload, session in ("after a second", {"SessionExpiryInterval": 1}), ("at once", {}), ("by Clean Start", KEPT):
            dies(payload, 1000, **session)
            if payload == "by Clean Start":
                with Client(id) as clean:
                    equal(clean.session_present, False)
            watcher.expect(topic, payload, ContentType="text/plain")


def request_and_response(_):
    requests, answers = fresh("requests/"), fresh("answers/")
    with Client() as responder, Client() as one, Client() as other:
        responder.subscribe(requests)
        for name, requester in ("one", one), ("other", other):
            requester.subscribe(f"{answers}/{name}")
            for number in range(3):
                requester.publish(requests, number, ResponseTopic=f"{answers}/{name}", CorrelationData=b"%d\0" % number)
        for _ in range(6):
            _, payload, _, said = responder.next()
            responder.publish(said["ResponseTopic"], f"done {payload}", CorrelationData=said["CorrelationData"])
        for name, requester in ("one", one), ("other", other):
            for number in range(3):
                requester.expect(f"{answers}/{name}", f"done {number}", CorrelationData=b"%d\0" % number)


def messages_expire(_):
    topic, away = fresh("expiry/"), fresh("away")
    sessions = [(away, 5, KEPT), (away + "-4", 4, {})]
    for id, version, more in sessions:
        with Client(id, False, version, **more) as client:
            client.subscribe(topic + "/queued")
    with Client() as publisher:
        publisher.publish(topic + "/queued", "short", MessageExpiryInterval=1)
        publisher.publish(topic + "/queued", "long", MessageExpiryInterval=1000)
        publisher.publish(topic + "/retained", "short", retain=True, MessageExpiryInterval=1)
        publisher.subscribe(topic + "/end")
        # the retained message is cleared at some time, and earlier messages have arrived by then
        while True:
            publisher.subscribe(topic + "/retained")
            publisher.publish(topic + "/end")
            if publisher.next()[0] == topic + "/end":
                break
            publisher.expect(topic + "/end", "")
    for id, version, more in sessions:
        with Client(id, False, version, **more) as client:
            equal(client.session_present, True)
            name, payload, _, said = client.next()
            equal((name, payload), (topic + "/queued", "long"))
            equal(0 < said.get("MessageExpiryInterval", 0) < 1000, version == 5)
            client.expect_nothing()
        Client(id, True, version).disconnect()


def topic_aliases_of_a_publisher(_):
    topic = fresh("alias/")
    with Client() as five, Client(version=4) as four, Client() as publisher:
        for subscriber in five, four:
            subscriber.subscribe(topic + "/#")
        most = publisher.told["TopicAliasMaximum"]
        said = [(topic + "/a", 1), ("", 1), (topic + "/b", most), ("", most), ("", 1), (topic + "/c", 1), ("", 1), ("", most)]
        meant = [topic + "/" + letter for letter in "aabbaccb"]
        for name, alias in said:
            publisher.publish(name, alias, TopicAlias=alias)
        for (_, alias), name in zip(said, meant):
            for subscriber in five, four:
                subscriber.expect(name, str(alias))
        publisher.mqtt.publish(topic, "", 1, properties=properties(PacketTypes.PUBLISH, {"TopicAlias": most + 1}))
        equal(publisher.ended_by_broker(), 0x94)
        for subscriber in five, four:
            subscriber.expect_nothing()


def reason_codes(_):
    topic = fresh("codes/")
    with Client() as client:
        equal(client.publish(topic, "x"), 0x10)
        equal(client.subscribe(topic, topic + "/#", qos=2), [2, 2])
        equal([client.publish(topic, "x", qos) for qos in (1, 2)], [0, 0])
        equal(client.unsubscribe(topic, "never", topic + "/#"), [0, 0x11, 0])
        for _ in range(2):
            client.expect(topic, "x")


def an_acl_denies(_):
    acl = write("acl", "user reader\ntopic read news/#\nuser writer\ntopic write news/#\n")
    passwords = write("passwords", "")
    os.chmod(passwords, 0o600)
    for user in "reader", "writer":
        subprocess.run([BINARY, "passwd", passwords, user, "--batch"], input=b"secret\n", check=True, capture_output=True, timeout=GUARD)
    config = f'allow_anonymous = false\n[[listener]]\naddress = "{HOST}:0"\n[auth]\npassword_file = "{passwords}"\nacl_file = "{acl}"\n'
    with Dunlin(BINARY, config) as dunlin:
        reader, writer = (Client(user=(user, "secret"), port=dunlin.ports[0]) for user in ("reader", "writer"))
        with reader, writer:
            equal(reader.subscribe("news/#"), [1])
            equal(reader.publish("news/x", "denied"), 0x87)
            equal([writer.publish("news/x", f"at {qos}", qos) for qos in (1, 2)], [0, 0])
            for qos in 1, 2:
                reader.expect("news/x", f"at {qos}")
            # one of 3.1.1 is acknowledged
            with Client(user=("reader", "secret"), version=4, port=dunlin.ports[0]) as four:
                equal(four.publish("news/x", "denied"), 0)
            writer.publish("news/x", "last")
            reader.expect("news/x", "last")


def sessions_expire_when_they_say(_):
    id = fresh("session")

    def is_there(**session):
        with Client(id, False, **session) as client:
            return client.session_present

    equal(is_there(), False)
    equal(is_there(), False)
    equal(is_there(**KEPT), False)
    # without the property it ends with the connection, whatever the earlier CONNECT had
    equal(is_there(), True)
    equal(is_there(**KEPT), False)
    # a DISCONNECT has the last word
    back = Client(id, False, **KEPT)
    equal(back.session_present, True)
    back.disconnect(SessionExpiryInterval=0)
    equal(is_there(SessionExpiryInterval=1), False)
    # Clean Start discards the old session and begins a persistent one
    Client(id, True, **KEPT).disconnect()
    equal(is_there(SessionExpiryInterval=0), True)
    # one of a clean session of 3.1.1 does not outlive it, one that is not is the same session
    Client(id, False, 4).disconnect()
    equal(is_there(**KEPT), True)
    with Client(id, False, 4) as four:
        equal(four.session_present, True)
    Client(id, True, 4).disconnect()
    equal(is_there(), False)


def a_session_expires_while_its_client_is_away(_):
    id, topic = fresh("session"), fresh("expires/")
    with Client() as watcher, Client(id, False, SessionExpiryInterval=1) as short:
        short.subscribe(topic)
        equal(watcher.publish(topic), 0)
        short.disconnect()
        while watcher.publish(topic) != 0x10:
            pass
    with Client(id, False) as back:
        equal(back.session_present, False)


def retain_handling(_):
    topic = fresh("handling/")
    with Client() as publisher, Client() as client:
        publisher.publish(topic, "kept", retain=True)
        for handling, first, again in (0, True, True), (1, True, False), (2, False, False):
            for expected in first, again:
                client.subscribe(topic, retainHandling=handling)
                if expected:
                    client.expect(topic, "kept", retain=True)
                client.expect_nothing()
            client.unsubscribe(topic)
        publisher.publish(topic, "", retain=True)


def no_local_and_retain_as_published(_):
    topic = fresh("own/")
    with Client() as own, Client(version=4) as other:
        own.subscribe(topic, noLocal=True, retainAsPublished=True)
        other.subscribe(topic)
        own.publish(topic, "mine")
        own.publish(topic, "mine, retained", retain=True)
        other.expect(topic, "mine")
        other.expect(topic, "mine, retained")
        other.publish(topic, "yours", retain=True)
        other.publish(topic, "yours, not retained")
        own.expect(topic, "yours", retain=True)
        own.expect(topic, "yours, not retained")
        own.expect_nothing()
        other.expect(topic, "yours")
        other.expect(topic, "yours, not retained")
        other.publish(topic, "", retain=True)


def subscription_identifiers(_):
    topic, big = fresh("ids/"), 268_435_455
    with Client() as publisher, Client() as client:
        publisher.publish(topic + "/a", "kept", retain=True)
        client.subscribe(topic + "/#", identifier=1)
        client.expect(topic + "/a", "kept", retain=True, SubscriptionIdentifier=[1])
        client.subscribe(topic + "/+", retainHandling=2, identifier=big)
        client.subscribe(topic + "/a", retainHandling=2)
        publisher.publish(topic + "/a", "x", UserProperty=("k", "v"))
        name, payload, _, said = client.next()
        equal(sorted(said.pop("SubscriptionIdentifier")), [1, big])
        equal((name, payload, said), (topic + "/a", "x", {"UserProperty": [("k", "v")]}))
        # another SUBSCRIBE for the filter replaces it
        client.subscribe(topic + "/#", retainHandling=2, identifier=7)
        client.unsubscribe(topic + "/+")
        publisher.publish(topic + "/a", "y")
        client.expect(topic + "/a", "y", SubscriptionIdentifier=[7])
        publisher.publish(topic + "/a", "", retain=True)


def a_group_shares_its_messages(_):
    """Each member has its own identifier; No Local is not for groups."""
    topic = fresh("shared/")
    filter = f"$share/{fresh('group')}/{topic}"
    with Client() as one, Client() as two, Client() as publisher:
        publisher.publish(topic, "kept", retain=True)
        equal([one.subscribe(filter, identifier=1), two.subscribe(filter, identifier=2)], [[1], [1]])
        for number in range(6):
            equal(publisher.publish(topic, str(number), **ALL), 0)
        got = {}
        for member, identifier in (one, 1), (two, 2):
            for _ in range(3):
                _, payload, retain, said = member.next()
                equal((retain, said.pop("SubscriptionIdentifier"), said), (False, [identifier], ALL))
                got.setdefault(identifier, []).append(payload)
        equal(sorted(got.values()), [["0", "2", "4"], ["1", "3", "5"]])
        equal(one.subscribe(f"$share//{topic}", "$share/+/x", "$share/a"), [0x8F, 0x8F, 0x8F])
        publisher.publish(topic, "", retain=True)
    with Client() as own:
        own.mqtt.subscribe([(filter, SubscribeOptions(qos=1, noLocal=True))])
        equal(own.ended_by_broker(), 0x82)


def what_a_client_takes_is_kept(_):
    topic, id = fresh("takes/"), fresh("small")
    says = {"MaximumPacketSize": 100, "ReceiveMaximum": 3, **KEPT}
    with Client() as publisher, Client(id, False, **says) as small:
        small.subscribe(topic, qos=2)
        for number in range(50):
            publisher.publish(topic, "x" * (1000 if number % 10 == 0 else 10), 1 + number % 2)
        for _ in range(45):
            small.expect(topic, "x" * 10)
        small.expect_nothing()
    Client(id).disconnect()


def a_take_over_is_told(_):
    id, topic = fresh("same"), fresh("taken/")
    with Client() as watcher:
        watcher.subscribe(topic + "/will")
        will = {"topic": topic + "/will", "payload": "gone", "qos": 1}
        first = Client(id, False, will=will, **KEPT)
        first.subscribe(topic)
        with Client(id, False, **KEPT) as second:
            equal((first.ended_by_broker(), second.session_present), (0x8E, True))
            watcher.expect(topic + "/will", "gone")
            watcher.publish(topic, "to the second")
            second.expect(topic, "to the second")
            with Client(id, True, version=4):
                equal(second.ended_by_broker(), 0x8E)


def a_restart_is_told_and_nothing_is_lost(_):
    config, data = f'[[listener]]\naddress = "{HOST}:0"\n', ("--data-dir", path("restart"))
    topic = fresh("restart/")
    with Dunlin(BINARY, config, *data) as dunlin:
        with Client("stays", False, port=dunlin.ports[0], **KEPT) as stays:
            stays.subscribe(topic, identifier=9, retainAsPublished=True)
        with Client(port=dunlin.ports[0]) as publisher:
            publisher.publish(topic, "queued", retain=True, MessageExpiryInterval=1000, **ALL)
        open_ = Client(port=dunlin.ports[0])
        dunlin.process.terminate()
        equal((open_.ended_by_broker(), dunlin.ends()), (0x8B, 0))
    with Dunlin(BINARY, config, *data) as dunlin, Client("stays", False, port=dunlin.ports[0], **KEPT) as stays:
        equal(stays.session_present, True)
        _, payload, retain, said = stays.next()
        equal((payload, retain, 900 < said.pop("MessageExpiryInterval") <= 1000), ("queued", True, True))
        equal(said, {"SubscriptionIdentifier": [9], **ALL})


if __name__ == "__main__":
    BINARY = sys.argv[1]
    with Dunlin(BINARY, f'[[listener]]\naddress = "{HOST}:0"\n') as dunlin:
        PORT = dunlin.ports[0]
        scenarios = [
            properties_are_passed_on,
            properties_of_a_will,
            a_will_waits_for_its_delay,
            request_and_response,
            messages_expire,
            topic_aliases_of_a_publisher,
            reason_codes,
            an_acl_denies,
            sessions_expire_when_they_say,
            a_session_expires_while_its_client_is_away,
            retain_handling,
            no_local_and_retain_as_published,
            subscription_identifiers,
            a_group_shares_its_messages,
            what_a_client_takes_is_kept,
            a_take_over_is_told,
            a_restart_is_told_and_nothing_is_lost,
        ]
        sys.exit(run("paho-mqtt", scenarios, ["5"]))
