/**
 * Log lines.
 * @module
 */
import assert from "node:assert/strict";
import { createLog, type LogLevel, memoryLog, silentLog } from "../../../src/runtime/mod.ts";

const clock = { wallMs: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678) };

function logTo(format: "json" | "console", level: LogLevel = "debug") {
  const lines: string[] = [];
  return {
    lines,
    log: createLog({ level, format, clock, write: (line) => void lines.push(line) }),
  };
}

Deno.test("createLog(json) writes one object a line [O9]", () => {
  const { lines, log } = logTo("json");
  log.info("wal.rotated", { segment: 7, ok: true, none: undefined, names: ["a", "b"] });
  assert.deepEqual(lines, [
    '{"time":"2026-01-02T03:04:05.678Z","level":"info","event":"wal.rotated","segment":7,"ok":true,"names":["a","b"]}\n',
  ]);
});

Deno.test("createLog(console) writes words, quoted where their end would be unclear [O9]", () => {
  const { lines, log } = logTo("console");
  log.warn("disk.slow", {
    path: "/a b",
    ms: 12.5,
    empty: "",
    list: ["x", "y"],
    eq: "a=b",
    plain: "p",
  });
  assert.deepEqual(lines, [
    '2026-01-02T03:04:05.678Z WARN  disk.slow path="/a b" ms=12.5 empty="" list=x,y eq="a=b" plain=p\n',
  ]);
});

Deno.test("createLog() leaves out what is below its level, of four [O9]", () => {
  const levels = ["debug", "info", "warn", "error"] as const;
  levels.forEach((level, from) => {
    const { lines, log } = logTo("json", level);
    for (const each of levels) log[each]("e");
    assert.deepEqual(lines.map((line) => JSON.parse(line).level), levels.slice(from));
  });
});

Deno.test("createLog() writes stacks at level debug only", () => {
  const fields = { message: "m", stack: "Error: m\n    at x" };
  const info = logTo("json", "info");
  info.log.error("failed", fields);
  assert.equal(JSON.parse(info.lines[0]).stack, undefined);
  const debug = logTo("json", "debug");
  debug.log.error("failed", fields);
  assert.equal(JSON.parse(debug.lines[0]).stack, fields.stack);
});

Deno.test("createLog() lets no field forge a line, a terminal command, or the head", () => {
  const evil = "x\n2026 INFO fake\u001b[2J\u0007\u009b\u202e\u2028";
  for (const format of ["json", "console"] as const) {
    const { lines, log } = logTo(format);
    log.info("e", { evil, ["na\nme"]: "v", list: [evil] });
    assert.equal(lines.length, 1);
    // deno-lint-ignore no-control-regex -- control characters are what must not be there
    assert.doesNotMatch(lines[0].slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u2028\u202e]/);
    if (format === "json") assert.equal(JSON.parse(lines[0]).evil, evil);
  }
  const { lines, log } = logTo("json");
  log.info("real", { level: "fake", time: "fake", event: "fake" });
  assert.deepEqual(JSON.parse(lines[0]), {
    time: "2026-01-02T03:04:05.678Z",
    level: "info",
    event: "real",
  });
});

Deno.test("memoryLog() remembers, silentLog does not mind", () => {
  const log = memoryLog();
  log.debug("a");
  log.error("b", { n: 1 });
  silentLog.info("c");
  assert.deepEqual(log.events, [
    { level: "debug", event: "a", fields: {} },
    { level: "error", event: "b", fields: { n: 1 } },
  ]);
  assert.deepEqual(log.named("b").map((one) => one.fields), [{ n: 1 }]);
});
