// The recipe of docs/testing.md for testcontainers: the container is constructed, not started.
import assert from "node:assert/strict";

import { addresses, bench } from "./bench_container.mjs";

const container = bench();
assert.equal(container.imageName.string, "dunlin:latest");
assert.deepEqual(container.exposedPorts, [1883, 8080]);
assert.deepEqual(container.createOpts.Cmd.slice(0, 4), ["--log-level", "info", "test", "--any-address"]);
assert.equal(typeof addresses, "function");
