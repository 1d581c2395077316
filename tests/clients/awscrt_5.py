"""The MQTT 5 client of awscrt, which AWS's SDKs have, in groups of shared subscriptions: awscrt_5.py HOST PORT. Each wait is
for an event; that nothing comes is shown by a later message that comes first."""

import itertools
import queue
import sys

from awscrt import mqtt5
from scenarios import GUARD, equal, run

HOST, PORT = sys.argv[1], int(sys.argv[2])
numbers = itertools.count()


def fresh(what):
    """A name that no other scenario uses."""
    return f"{what}{next(numbers)}"


class Client:
    """A connected client; what the callbacks say waits in queues. `interval`: Session Expiry Interval."""

    def __init__(self, id=None, resumes=False, interval=0):
        self.connected, self.stopped, self.messages = queue.Queue(), queue.Queue(), queue.Queue()
        behavior = mqtt5.ClientSessionBehaviorType
        options = mqtt5.ClientOptions(
            host_name=HOST,
            port=PORT,
            session_behavior=behavior.REJOIN_ALWAYS if resumes else behavior.CLEAN,
            connect_options=mqtt5.ConnectPacket(client_id=id or fresh("crt"), session_expiry_interval_sec=interval),
            on_publish_callback_fn=lambda data: self.messages.put(data.publish_packet),
            on_lifecycle_event_connection_success_fn=lambda data: self.connected.put(data.connack_packet),
            on_lifecycle_event_connection_failure_fn=lambda data: self.connected.put(data.exception),
            on_lifecycle_event_stopped_fn=lambda data: self.stopped.put(None),
        )
        self.client = mqtt5.Client(options)
        self.client.start()
        self.connack = self.connected.get(timeout=GUARD)
        if isinstance(self.connack, Exception):
            raise self.connack

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """It sends a DISCONNECT."""
        self.client.stop(mqtt5.DisconnectPacket())
        self.stopped.get(timeout=GUARD)

    def subscribe(self, *filters, identifier=None, **options):
        """The Reason Codes."""
        subscriptions = [mqtt5.Subscription(filter, mqtt5.QoS.AT_LEAST_ONCE, **options) for filter in filters]
        packet = mqtt5.SubscribePacket(subscriptions, subscription_identifier=identifier)
        return [code.value for code in self.client.subscribe(packet).result(GUARD).reason_codes]

    def unsubscribe(self, *filters):
        return [code.value for code in self.client.unsubscribe(mqtt5.UnsubscribePacket(list(filters))).result(GUARD).reason_codes]

    def publish(self, topic, payload, **said):
        """The Reason Code."""
        packet = mqtt5.PublishPacket(topic=topic, payload=payload.encode(), qos=mqtt5.QoS.AT_LEAST_ONCE, **said)
        return self.client.publish(packet).result(GUARD).puback.reason_code.value

    def next(self):
        return self.messages.get(timeout=GUARD)

    def expect(self, topic, payload):
        message = self.next()
        equal((message.topic, message.payload.decode()), (topic, payload))
        return message

    def expect_nothing(self):
        own = fresh("nothing/")
        equal(self.subscribe(own), [1])
        self.publish(own, "nothing came before")
        self.expect(own, "nothing came before")
        self.unsubscribe(own)


def a_group_shares_its_messages(_):
    topic = fresh("shared/")
    filter = f"$share/{fresh('group')}/{topic}"
    with Client() as one, Client() as two, Client() as publisher:
        equal(one.connack.shared_subscription_available, None)
        equal([publisher.publish(topic, "before"), one.subscribe(filter), two.subscribe(filter)], [0x10, [1], [1]])
        for number in range(6):
            equal(publisher.publish(topic, str(number)), 0)
        got = [[int(member.next().payload) for _ in range(3)] for member in (one, two)]
        # in turn, in either order, each in order
        equal(sorted(got), [[0, 2, 4], [1, 3, 5]])
        equal(one.unsubscribe(filter), [0])
        for number in range(2):
            publisher.publish(topic, str(number))
            two.expect(topic, str(number))
        one.expect_nothing()


def properties_and_identifiers_in_a_group(_):
    topic = fresh("shared/")
    with Client() as member, Client() as publisher:
        member.subscribe(f"$share/{fresh('group')}/{topic}", identifier=7)
        publisher.publish(
            topic,
            "x",
            content_type="text/plain",
            correlation_data_bytes=b"\0\xff",
            user_properties=[mqtt5.UserProperty("b", "1"), mqtt5.UserProperty("a", "2")],
        )
        got = member.expect(topic, "x")
        said = [(one.name, one.value) for one in got.user_properties]
        equal((got.content_type, got.correlation_data_bytes, said), ("text/plain", b"\0\xff", [("b", "1"), ("a", "2")]))
        equal(got.subscription_identifiers, [7])


def retained_messages_are_not_for_groups(_):
    topic = fresh("shared/")
    with Client() as member, Client() as publisher:
        publisher.publish(topic, "kept", retain=True)
        equal(member.subscribe(f"$share/{fresh('group')}/{topic}"), [1])
        member.expect_nothing()
        publisher.publish(topic, "", retain=True)
        member.expect(topic, "")


def what_waits_for_a_member_that_left_goes_to_the_other(_):
    topic, id = fresh("shared/"), fresh("away")
    filter = f"$share/{fresh('group')}/{topic}"
    with Client() as publisher:
        away = Client(id, interval=1000)
        away.subscribe(filter)
        away.stop()
        for number in range(3):
            equal(publisher.publish(topic, str(number)), 0)
        with Client() as other:
            other.subscribe(filter)
            # its session ends, and a new one begins
            with Client(id) as back:
                equal(back.connack.session_present, False)
                for number in range(3):
                    other.expect(topic, str(number))
                back.expect_nothing()


if __name__ == "__main__":
    scenarios = [
        a_group_shares_its_messages,
        properties_and_identifiers_in_a_group,
        retained_messages_are_not_for_groups,
        what_waits_for_a_member_that_left_goes_to_the_other,
    ]
    sys.exit(run("awscrt", scenarios, ["5"]))
