"""Node-RED without its editor: node_red.py DUNLIN-BINARY NODE-RED-FOLDER. A flow that others made would look like this: what
arrives over TCP goes out over WebSocket, and what arrives there over TCP. For WebSocket, its path is "/"."""

import json
import os
import sys

from loopback import HOST, Client, Dunlin, Program, listeners, path, write
from scenarios import equal, run

# Without an editor and nodes that serve HTTP, it listens nowhere.
SETTINGS = """\
module.exports = {
    flowFile: "flows.json", httpAdminRoot: false, httpNodeRoot: false, credentialSecret: false,
    logging: { console: { level: "info" } },
};
"""


def broker(name, address, port):
    """As the editor writes it; the birth message says that its subscriptions are there."""
    return {
        "id": f"broker-{name}", "type": "mqtt-broker", "name": name, "broker": address, "port": port, "clientid": f"node-red-{name}",
        "autoConnect": True, "usetls": False, "protocolVersion": "4", "keepalive": "60", "cleansession": True,
        "birthTopic": f"birth/{name}", "birthQos": "1", "birthRetain": "true", "birthPayload": "online",
        "willTopic": f"will/{name}", "willQos": "1", "willRetain": "false", "willPayload": "gone",
    }


def flows(tcp, ws):
    nodes = [{"id": "tab", "type": "tab", "label": "across"}]
    nodes += [broker("tcp", HOST, str(tcp)), broker("ws", f"ws://{HOST}:{ws}", "")]
    for here, there in ("tcp", "ws"), ("ws", "tcp"):
        nodes.append({
            "id": f"in-{here}", "type": "mqtt in", "z": "tab", "topic": f"from/{here}/#", "qos": "2", "datatype": "auto-detect",
            "broker": f"broker-{here}", "inputs": 0, "wires": [[f"change-{here}"]],
        })
        nodes.append({
            "id": f"change-{here}", "type": "function", "z": "tab", "outputs": 1, "wires": [[f"out-{there}"]],
            "func": "msg.topic = msg.topic.replace('from', 'to'); return msg;",
        })
        nodes.append({
            "id": f"out-{there}", "type": "mqtt out", "z": "tab", "topic": "", "qos": "", "retain": "", "broker": f"broker-{there}",
            "wires": [],
        })
    return nodes


class NodeRed(Program):
    """With that flow; connected when it exists."""

    def __init__(self, dunlin):
        os.makedirs(path("node-red"), exist_ok=True)
        write("node-red/settings.js", SETTINGS)
        write("node-red/flows.json", json.dumps(flows(*dunlin.ports)))
        super().__init__("node", f"{NODE_RED}/node_modules/node-red/red.js", "--userDir", path("node-red"))
        with Client(dunlin.ports[0], "birth") as watcher:
            watcher.subscribe(("birth/#", 1))
            equal(sorted(watcher.next()[0] for _ in range(2)), ["birth/tcp", "birth/ws"])


def messages_flow_through(_):
    with Client(DUNLIN.ports[0], "publisher") as client:
        client.subscribe(("to/#", 2))
        for here in "tcp", "ws":
            for qos in range(3):
                client.publish(f"from/{here}/{qos}", f"at {qos}", qos)
                equal(client.next(), (f"to/{here}/{qos}", f"at {qos}", qos, False))
            for number in range(200):
                client.mqtt.publish(f"from/{here}/many", str(number), 1)
            equal([client.next()[1] for _ in range(200)], [str(number) for number in range(200)])


def payloads_of_many_kinds(_):
    with Client(DUNLIN.ports[0], "publisher") as client:
        client.subscribe(("to/#", 1))
        for here in "tcp", "ws":
            for payload in "", "0", '{"on":true}', "grün", "x" * 300_000:
                client.publish(f"from/{here}/kind", payload)
                equal(client.next(), (f"to/{here}/kind", payload, 1, False))


def its_wills(_):
    """The last scenario: it is killed."""
    with Client(DUNLIN.ports[0], "watcher") as watcher:
        watcher.subscribe(("will/#", 1))
        RED.kill()
        equal(sorted(watcher.next()[:2] for _ in range(2)), [("will/tcp", "gone"), ("will/ws", "gone")])


if __name__ == "__main__":
    binary, NODE_RED = sys.argv[1:]
    with Dunlin(binary, listeners("", "tcp", "ws")) as DUNLIN, NodeRed(DUNLIN) as RED:
        sys.exit(run("Node-RED:", [messages_flow_through, payloads_of_many_kinds, its_wills], [""]))
