"""paho-mqtt over WebSocket: python websocket_client.py HOST PORT [CA]; with CA, over TLS."""

import sys
import threading

import paho.mqtt.client as mqtt

SIZES = [0, 1, 125, 126, 65_535, 65_536, 300_000] + [20] * 500


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    name = "paho-mqtt over ws" if len(sys.argv) < 4 else "paho-mqtt over wss"
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, transport="websockets")
    client.ws_set_options(path="/mqtt")
    if len(sys.argv) > 3:
        client.tls_set(sys.argv[3])
    got, done = [], threading.Event()

    def publish(*_):
        for at, size in enumerate(SIZES):
            client.publish(f"ws/{at}", b"x" * size, 1 + at % 2)

    def message(_client, _data, message):
        got.append(len(message.payload))
        if len(got) == len(SIZES):
            done.set()

    client.on_connect = lambda *_: client.subscribe("ws/#", 2)
    client.on_subscribe = publish
    client.on_message = message
    client.max_inflight_messages_set(1000)
    client.connect(host, port)
    client.loop_start()
    ended = done.wait(30)
    client.disconnect()
    client.loop_stop()
    held = sorted(got) == sorted(SIZES)
    print("ok    " if ended and held else "FAILED", f"{name}: {len(got)} of {len(SIZES)} messages", flush=True)
    return 0 if ended and held else 1


sys.exit(main())
