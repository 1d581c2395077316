"""Users and rules with the clients and the tools that others wrote: access.py DUNLIN-BINARY. The password file is written by
Debian's mosquitto_passwd and by "dunlin passwd", that at a terminal; mosquitto_pub and mosquitto_sub log in."""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import termios

from scenarios import GUARD, equal, run

BINARY = sys.argv[1]
FOLDER = tempfile.TemporaryDirectory()
PASSWORDS, ACL, CONFIG, READY = (os.path.join(FOLDER.name, name) for name in ("passwords", "acl", "dunlin.toml", "ready"))

RULES = """\
user alice
topic write news/#
user bob
topic read news/#
topic deny news/secret
pattern write from/%u/%c
user carol
topic #
"""


def at_terminal(*typed):
    """dunlin passwd with a terminal, at which this is typed after each question; what the terminal shows."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(BINARY, [BINARY, "passwd", PASSWORDS, "carol"])
    shown, asked = b"", 0
    while True:
        try:
            part = os.read(terminal, 1024)
        except OSError:  # the other end is closed
            part = b""
        if not part:
            break
        shown += part
        while asked < len(typed) and shown.count(b": ") > asked:
            # the prompt appears a moment before the terminal's echo is off
            while termios.tcgetattr(terminal)[3] & termios.ECHO:
                os.sched_yield()
            os.write(terminal, typed[asked].encode() + b"\n")
            asked += 1
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def files():
    open(PASSWORDS, "w").close()
    os.chmod(PASSWORDS, 0o600)
    for user, password, kind in (("alice", "wonder land", "sha512-pbkdf2"), ("bob", "pässword", "sha512")):
        subprocess.run(["mosquitto_passwd", "-H", kind, "-b", PASSWORDS, user, password], check=True, timeout=GUARD)
    code, shown = at_terminal("first", "second")
    equal((code, "these are two passwords" in shown), (1, True))
    code, shown = at_terminal("hidden", "hidden")
    equal((code, "hidden" in shown), (0, False))
    with open(ACL, "w") as file:
        file.write(RULES)
    with open(CONFIG, "w") as file:
        file.write("allow_anonymous = false\n[auth]\npassword_file = '%s'\nacl_file = '%s'\n" % (PASSWORDS, ACL))


class Broker:
    """A dunlin with these files; gone with the block."""

    def __enter__(self):
        args = [BINARY, "--config", CONFIG, "--listen", "127.0.0.1:0", "--ready-file", READY]
        self.process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.wait_for("ready listeners=")
        with open(READY) as file:
            self.port = json.load(file)["listeners"][0]["port"]
        return self

    def wait_for(self, words):
        for line in self.process.stderr:
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"the log ended without {words!r}: {self.lines}")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        self.wait_for("the configuration was read again")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def command(self, program, user, password, client, *args):
        login = ["-u", user, "-P", password] if user else []
        return [program, "-h", "127.0.0.1", "-p", str(self.port), "-i", client, *login, *args]

    def publish(self, user, password, client, topic, message):
        """The exit code of mosquitto_pub: 0, or that of a refusal."""
        args = self.command("mosquitto_pub", user, password, client, "-q", "1", "-t", topic, "-m", message)
        return subprocess.run(args, capture_output=True, timeout=GUARD).returncode

    def receives(self, user, password, publish):
        """The payloads that mosquitto_sub has of # until the one that says "end"."""
        args = self.command("mosquitto_sub", user, password, "subscriber", "-d", "-t", "#", "-W", str(GUARD), "-F", "=%p")
        process = subprocess.Popen(["stdbuf", "-oL", *args], stdout=subprocess.PIPE, text=True)
        got = []
        for line in process.stdout:
            if line.startswith("Subscribed (mid"):
                publish()
            if line.startswith("="):
                got.append(line[1:].strip())
                if got[-1] == "end":
                    break
        process.kill()
        process.wait()
        process.stdout.close()
        return got


def passwords_of_three_kinds(_):
    with Broker() as broker:
        for user, password in (("alice", "wonder land"), ("bob", "pässword"), ("carol", "hidden")):
            equal(broker.publish(user, password, "c", "t", "x"), 0)
        for user, password in (("alice", "wonderland"), ("bob", ""), ("carol", "first"), ("eve", "xyzzy"), (None, None)):
            code = broker.publish(user, password, "c", "t", "x")
            equal((user, code != 0), (user, True))
            said = broker.wait_for(" refused ")
            equal(("peer=127.0.0.1:" in said, (password or "wonderland") in said), (True, False))


def rules_for_each(_):
    with Broker() as broker:
        def publish():
            equal(broker.publish("alice", "wonder land", "a", "other", "denied"), 0)
            equal(broker.publish("alice", "wonder land", "a", "news/secret", "secret"), 0)
            equal(broker.publish("bob", "pässword", "b", "news/x", "denied"), 0)
            equal(broker.publish("bob", "pässword", "b", "from/bob/b", "pattern"), 0)
            equal(broker.publish("alice", "wonder land", "a", "news/x", "end"), 0)

        equal(broker.receives("bob", "pässword", publish), ["end"])
        equal(broker.receives("carol", "hidden", publish), ["secret", "pattern", "end"])


def reason_codes_of_mqtt_5(_):
    """What a client of 3.1.1 is not told: that a message was denied, that nobody subscribes, and why it may not connect."""
    def said(broker, user, password, topic):
        args = broker.command("mosquitto_pub", user, password, "c", "-V", "5", "-d", "-q", "1", "-t", topic, "-m", "x")
        done = subprocess.run(args, capture_output=True, text=True, timeout=GUARD)
        return done.stdout + done.stderr

    with Broker() as broker:
        for user, password, topic, words in (
            ("alice", "wonder land", "other", "received PUBACK (Mid: 1, RC:135)"),
            ("alice", "wonder land", "news/x", "received PUBACK (Mid: 1, RC:16)"),
            ("alice", "wonderland", "news/x", "received CONNACK (134)"),
        ):
            output = said(broker, user, password, topic)
            assert words in output, f"{words} is not in {output!r}"


def a_reload_takes_users_and_rules(_):
    with Broker() as broker:
        args = [BINARY, "passwd", PASSWORDS, "dave", "--batch"]
        subprocess.run(args, input=b"new\n", check=True, capture_output=True, timeout=GUARD)
        equal(broker.publish("dave", "new", "d", "t", "x") != 0, True)
        broker.reload()
        equal(broker.publish("dave", "new", "d", "t", "x"), 0)
        subprocess.run([BINARY, "passwd", PASSWORDS, "dave", "--delete"], check=True, capture_output=True, timeout=GUARD)
        broker.reload()
        equal(broker.publish("dave", "new", "d", "t", "x") != 0, True)


files()
scenarios = [passwords_of_three_kinds, rules_for_each, reason_codes_of_mqtt_5, a_reload_takes_users_and_rules]
sys.exit(run("access", scenarios, ["3.1.1"]))
