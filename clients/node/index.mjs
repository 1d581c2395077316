// The broker dunlin for tests, with faults, a clock to advance, and expectations.
//
//     const broker = await Broker.start();
//     startMyClient(broker.url);
//     await broker.expect({ filter: "rooms/+", json_path: { "$.t": 21 } });
//     await broker.stop();
//
// `dunlin` (the program) is looked for in PATH, or at DUNLIN.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** An expectation was not met: `problem` has the messages that arrived and the nearest one. */
export class Unmet extends Error {
  constructor(problem) {
    const arrived = (problem.arrived ?? []).map((one) => JSON.stringify(one)).join("\n");
    super(`${problem.detail}\nnearest: ${JSON.stringify(problem.nearest)}\narrived:\n${arrived}`);
    this.problem = problem;
  }
}

export class Broker {
  /** Starts a broker on a free port; `flags` are those of `dunlin test`. */
  static async start({ program = process.env.DUNLIN ?? "dunlin", flags = [] } = {}) {
    const place = await mkdtemp(join(tmpdir(), "dunlin-"));
    try {
      const file = join(place, "ready.json");
      // it ends when this process does, in whatever way
      const child = spawn(program, ["test", "--exit-with-parent", "--ready-file", file, ...flags], {
        stdio: ["pipe", "inherit", "inherit"],
      });
      const ended = once(child, "exit");
      for (;;) {
        const text = await readFile(file, "utf8").catch(() => "");
        if (text) return new Broker(child, ended, JSON.parse(text));
        if (child.exitCode !== null) throw new Error(`dunlin did not start: exit code ${child.exitCode}`);
        await Promise.race([sleep(2), ended]);
      }
    } finally {
      await rm(place, { recursive: true });
    }
  }

  constructor(child, ended, ready) {
    Object.assign(this, { child, ended, ready, http: ready.http[0], url: ready.listeners[0].url });
    this.port = ready.listeners[0].port;
  }

  /** Ends the broker; its exit code. */
  async stop() {
    // what Node calls a pipe is a socket, whose end the broker does not watch
    this.child.kill("SIGTERM");
    return (await this.ended)[0];
  }

  /** Asks /test/v1/PATH. */
  async call(method, path, body) {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(`${this.http}/test/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
    const value = await answer.json();
    if (answer.ok) return value;
    throw value.code === "unmet" ? new Unmet(value) : new Error(value.detail);
  }

  /** Waits until the expectation is met and returns the messages. docs/testing.md lists all expectations. */
  expect(what) {
    return this.call("POST", "expect", what);
  }

  /** Advances the clock: "25h". All that became due has happened then. */
  advance(by, { keepAlive = false } = {}) {
    return this.call("POST", "clock", { advance: by, keep_alive: keepAlive });
  }

  /** Removes everything, or everything with this prefix. */
  reset(prefix) {
    return this.call("POST", "reset", prefix === undefined ? {} : { prefix });
  }

  /** Ends the broker as by kill -9 and starts it again on the same port. */
  restart(how = {}) {
    return this.call("POST", "restart", how);
  }

  /** Sets a fault; `remove` ends it, `hits` is how often it has hit. */
  async fault(does, when = {}, seed = 0) {
    const { id } = await this.call("POST", "faults", { when, do: does, seed });
    const hits = async () => (await this.call("GET", "faults")).data.find((one) => one.id === id).hits;
    return { id, hits, remove: () => this.call("DELETE", `faults?id=${id}`) };
  }
}
