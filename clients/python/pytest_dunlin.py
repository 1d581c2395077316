"""A pytest plug-in: a broker of dunlin to test clients against, with faults, a clock to advance, and expectations.

    def test_my_client(broker):
        start_my_client(port=broker.port)
        broker.expect(filter="rooms/+", json_path={"$.t": 21})

`broker` is empty for each test. `dunlin` (the program) is looked for in PATH, or at DUNLIN.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pytest


class Unmet(AssertionError):
    """An expectation was not met: `problem` has the messages that arrived and the nearest one."""

    def __init__(self, problem):
        nearest = json.dumps(problem.get("nearest"), indent=2)
        arrived = "\n".join(json.dumps(one) for one in problem.get("arrived", []))
        super().__init__(f"{problem['detail']}\nnearest: {nearest}\narrived:\n{arrived}")
        self.problem = problem


class Broker(contextlib.AbstractContextManager):
    """A broker for tests. Start it with `with Broker() as broker:`."""

    def __init__(self, program=None, *flags):
        program = program or os.environ.get("DUNLIN", "dunlin")
        with tempfile.TemporaryDirectory() as place:
            ready = pathlib.Path(place, "ready.json")
            command = [program, "test", "--exit-with-parent", "--ready-file", ready, *flags]
            # the pipe closes when this process ends in any way
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
            while not ready.exists():
                if self.process.poll() is not None:
                    raise RuntimeError(f"dunlin did not start: exit code {self.process.returncode}")
                time.sleep(0.002)
            self.ready = json.loads(ready.read_text())
        self.http, self.url = self.ready["http"][0], self.ready["listeners"][0]["url"]
        self.host, self.port = "127.0.0.1", self.ready["listeners"][0]["port"]

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the broker and returns its exit code."""
        self.process.stdin.close()
        return self.process.wait()

    def call(self, method, path, body=None):
        """Calls /test/v1/PATH."""
        data = None if body is None else json.dumps(body).encode()
        url, headers = f"{self.http}/test/v1/{path}", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            if problem.get("code") == "unmet":
                raise Unmet(problem) from None
            raise ValueError(problem["detail"]) from None

    def expect(self, **what):
        """Waits until the expectation is met and returns the messages. docs/testing.md lists all expectations."""
        return self.call("POST", "expect", what)

    def advance(self, by, keep_alive=False):
        """Advances the clock: "25h". Returns when everything that is due has happened."""
        return self.call("POST", "clock", {"advance": by, "keep_alive": keep_alive})

    def reset(self, prefix=None):
        """Removes everything, or everything with this prefix."""
        return self.call("POST", "reset", {} if prefix is None else {"prefix": prefix})

    def restart(self, **how):
        """Ends the broker as by kill -9 and starts it again on the same port."""
        return self.call("POST", "restart", how)

    @contextlib.contextmanager
    def fault(self, do, seed=0, **when):
        """Sets a fault during the block; yields a function that returns its number of hits."""
        identity = self.call("POST", "faults", {"when": when, "do": do, "seed": seed})["id"]
        try:
            yield lambda: next(one["hits"] for one in self.call("GET", "faults")["data"] if one["id"] == identity)
        finally:
            self.call("DELETE", f"faults?id={identity}")


@pytest.fixture(scope="session")
def dunlin():
    """A broker for the whole session."""
    with Broker() as broker:
        yield broker


@pytest.fixture
def broker(dunlin):
    """The broker of the session, reset before the test."""
    dunlin.reset()
    yield dunlin
