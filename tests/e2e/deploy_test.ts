/**
 * What lies in deploy/: dashboard and alerts speak of figures that a node has, by names and labels, and every
 * alert has its runbook.
 * @module
 */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { KeyValueService } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { missingProgram, testNeeding } from "../support/needs.ts";
import { callRaw, encodeMessage } from "../support/raw_rpc.ts";
import { callJson, withServer } from "../support/server.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const RULES = `${ROOT}deploy/prometheus/alerts.yaml`;

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}
interface Panel {
  readonly title: string;
  readonly type: string;
  readonly targets?: readonly { readonly expr: string }[];
}

function alerts(): readonly Alert[] {
  const { groups } = parse(Deno.readTextFileSync(RULES));
  return groups.flatMap((group: { rules: Alert[] }) => group.rules);
}

function panels(): readonly Panel[] {
  return JSON.parse(Deno.readTextFileSync(`${ROOT}deploy/grafana/pairdb.json`)).panels;
}

/** Names of metrics in an expression. What Prometheus makes itself is not a node's. */
function namesIn(expr: string): string[] {
  const names = expr.replaceAll(/"[^"]*"/g, "").match(/\b(pairdb|process)_[a-z0-9_]+/g) ?? [];
  return [...new Set(names)];
}

/** Selectors with their labels: `name{a="b"}`. */
function selectorsIn(expr: string): { name: string; labels: [string, string][] }[] {
  return [...expr.matchAll(/\b((?:pairdb|process)_[a-z0-9_]+)\{([^}]*)\}/g)].map(
    ([, name, inside]) => ({
      name,
      labels: [...inside.matchAll(/([a-z_]+)(=~?)"([^"]*)"/g)]
        // Those that Prometheus adds.
        .filter(([, label]) => label !== "instance" && label !== "job")
        .map(([, label, , value]): [string, string] => [label, value]),
    }),
  );
}

/**
 * A live node's figures, once it has taken some calls, of which one failed and one was turned away, and has a tenant
 * with quotas, a table that was merged of two, and reads from everywhere.
 */
async function scrape(): Promise<string> {
  let text = "";
  await withServer(async (server) => {
    const { url } = server;
    const options = { maxBytes: 1000, maxKeys: 10 };
    await callJson(server, "TenantService/CreateTenant", { tenantId: "t", options });
    for (const keys of [["a", "b"], ["c", "d"]]) {
      for (const key of keys) {
        await callJson(server, "KeyValueService/Put", { tenantId: "t", key, value: "" });
      }
      await callJson(server, "KeyValueService/Get", { tenantId: "t", key: keys[0] });
      await callJson(server, "AdminService/Flush", {});
    }
    await callJson(server, "AdminService/Compact", {});
    // Two from the table, and one from the row cache.
    for (const key of ["a", "b", "a"]) {
      await callJson(server, "KeyValueService/Get", { tenantId: "t", key });
    }
    const { get } = KeyValueService.method;
    for (const tenantId of ["t", "no:tenant"]) {
      const message = encodeMessage("Connect JSON", get.input, { tenantId, key: "none" });
      await callRaw(url, "Connect JSON", get, message);
    }
    const response = await fetch(`${url}/metrics`);
    // Without its own type Prometheus takes nothing.
    assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    text = await response.text();
  });
  return text;
}

/** What the pages for operators call figures: whole names, and families with a star at their end. */
function namesInDocs(): [page: string, name: string][] {
  const pages = [`${ROOT}docs`, `${ROOT}docs/operations`].flatMap((folder) =>
    [...Deno.readDirSync(folder)].filter(({ isFile }) => isFile).map(({ name }) =>
      `${folder}/${name}`
    )
  );
  return pages.flatMap((page) =>
    [...Deno.readTextFileSync(page).matchAll(/\b(?:pairdb|process)_[a-z0-9_]+\*?/g)]
      .map(([name]): [string, string] => [page, name])
  );
}

Deno.test("every figure in dashboard, alerts and docs is one that a live node has, with the labels they ask for [O1, O3, O4, O6, O7, O10]", async () => {
  const text = await scrape();
  const expressions = [
    ...alerts().map(({ alert, expr }) => [alert, expr]),
    ...panels().flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr])),
  ];
  assert.ok(expressions.length > 40);
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  const typed = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  const isKnown = (name: string) =>
    typed.has(name.replace(/_(bucket|sum|count)$/, "")) ||
    typed.has(name);
  for (const [where, expr] of expressions) {
    for (const name of namesIn(expr)) assert.ok(isKnown(name), `${where}: a node has no ${name}`);
    for (const { name, labels } of selectorsIn(expr)) {
      const series = lines.filter((line) => line.startsWith(`${name}{`));
      // A server's errors are none here, nor what it refuses: the label is looked for, not its value.
      for (const [label, value] of labels) {
        const wanted = ["class", "reason"].includes(label) ? `${label}="` : `${label}="${value}"`;
        assert.ok(
          series.some((line) => line.includes(wanted)),
          `${where}: ${name} has no ${wanted}`,
        );
      }
    }
  }
  const page = Deno.readTextFileSync(`${ROOT}docs/operations.md`);
  for (
    const [, values] of alerts().flatMap(({ expr }) => [...expr.matchAll(/reason=~"([^"]+)"/g)])
  ) {
    for (const reason of values.split("|")) assert.ok(page.includes(`\`${reason}\``), reason);
  }
  for (const [where, name] of namesInDocs()) {
    // Is of the last minute, and missing for the first ten seconds.
    if (name === "pairdb_cpu_usage") continue;
    const found = name.endsWith("*")
      ? [...typed].some((each) => each.startsWith(name.slice(0, -1)))
      : isKnown(name);
    assert.ok(found, `${where}: a node has no ${name}`);
  }
  const told = namesInDocs().map(([, name]) => name);
  for (const name of typed) {
    const isTold = told.some((each) =>
      each.endsWith("*") ? name.startsWith(each.slice(0, -1)) : name === each
    );
    assert.ok(isTold, `no page says what ${name} is`);
  }
  // Hit rates, memtables, flushes, tables by level, compactions: what O3 asks for is shown.
  const shown = expressions.flatMap(([, expr]) => namesIn(expr));
  for (
    const name of [
      ...["row_cache_hits_total", "row_cache_misses_total", "block_cache_hits_total"],
      ...["memtable_bytes", "flushes_total", "tables_per_level", "compactions_total"],
      ...["compaction_ms_total", "compaction_pending_bytes", "compaction_bytes_written_total"],
      // Refusals, estimates, workers and streams: O6 and O7.
      ...["disk_estimated_bytes_total", "worker_waited_ms_total", "worker_succeeded_total"],
      ...["transfer_streams", "transfer_keys_sent_total", "transfer_bytes_received_total"],
      ...["transfer_checksum_ms_total", "idempotency_replays_total"],
      ...["migrations_running", "migration_pending_keys", "migrations_falling_behind"],
      ...["node_draining", "quiet_hours"],
      ...["tenant_cache_bytes", "merge_function_failures_total"],
    ]
  ) {
    assert.ok(shown.includes(`pairdb_${name}`), name);
    assert.match(text, new RegExp(`^pairdb_${name}(\\{| )`, "m"));
  }
  // What they say of what was done.
  const values = Object.fromEntries(
    [...text.matchAll(/^(\S+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]),
  );
  const of = (name: string) => values[`pairdb_${name}`];
  assert.equal(of("flushes_total"), 2);
  assert.equal(of("compactions_total"), 1);
  const levels = Object.entries(values).filter(([name]) =>
    name.startsWith("pairdb_tables_per_level")
  );
  assert.deepEqual(levels.filter(([, tables]) => tables > 0).map(([, tables]) => tables), [1]);
  assert.equal(of("row_cache_hits_total"), 1);
  assert.equal(of("reads_from_memtable_total"), 2);
  assert.equal(of("reads_from_tables_total"), 2);
  for (
    const name of [
      ...["block_cache_misses_total", "row_cache_misses_total"],
      ...["row_cache_bytes", "block_cache_bytes", "heap_bytes", "wal_bytes", "wal_rotations_total"],
      ...["flush_bytes_written_total", "compaction_bytes_written_total", "disk_usage_percent"],
      ...["disk_total_bytes", "disk_free_bytes", "disk_estimated_bytes_total", "cpus"],
      ...["worker_succeeded_total", "jobs_completed_total"],
    ]
  ) assert.ok(of(name) > 0, `${name} ${of(name)}`);
  for (const name of ["process_cpu_seconds_total", "process_resident_memory_bytes"]) {
    assert.ok(values[name] > 0, name);
  }
});

Deno.test("every alert says how grave it is, and has a runbook under its name [O10]", () => {
  const page = Deno.readTextFileSync(`${ROOT}docs/operations.md`);
  const all = alerts();
  assert.equal(new Set(all.map(({ alert }) => alert)).size, all.length);
  for (const { alert, labels, annotations } of all) {
    assert.ok(["page", "ticket"].includes(labels.severity), alert);
    assert.ok(annotations.summary !== "", alert);
    assert.equal(annotations.runbook, `docs/operations.md#${alert.toLowerCase()}`);
    assert.match(page, new RegExp(`^### ${alert}$`, "m"), `${alert} has no runbook`);
  }
  const runbooks = [...page.matchAll(/^### (PairDB\w+)$/gm)].map(([, name]) => name);
  assert.deepEqual(runbooks, all.map(({ alert }) => alert));
});

Deno.test("the dashboard is one that Grafana takes", () => {
  const all = panels();
  const ids = all.map((panel) => (panel as Panel & { id: number }).id);
  assert.equal(new Set(ids).size, ids.length);
  for (const { title, type, targets = [] } of all) {
    assert.ok(["row", "stat", "timeseries"].includes(type), title);
    assert.equal(targets.length > 0, type !== "row", title);
    for (const { expr } of targets) assert.equal(balance(expr), 0, expr);
  }
});

function balance(expr: string): number {
  return [...expr].reduce(
    (depth, c) => depth + ("({[".includes(c) ? 1 : ")}]".includes(c) ? -1 : 0),
    0,
  );
}

testNeeding(
  "promtool takes the rules, and each fires when it should and not before [O10]",
  missingProgram("promtool"),
  async () => {
    for (const args of [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]]) {
      const { success, stdout, stderr } = await new Deno.Command("promtool", {
        args,
        cwd: `${ROOT}deploy/prometheus`,
      }).output();
      const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.ok(success, said);
    }
  },
);

testNeeding(
  "promtool takes every expression of the dashboard",
  missingProgram("promtool"),
  async () => {
    const rules = panels().flatMap(({ targets = [] }) => targets).map(({ expr }, n) => ({
      record: `dashboard:${n}`,
      expr: expr.replaceAll("$__rate_interval", "1m"),
    }));
    const file = await Deno.makeTempFile({ suffix: ".yaml" });
    try {
      const text = JSON.stringify({ groups: [{ name: "dashboard", rules }] });
      await Deno.writeTextFile(file, text);
      const { success, stderr } = await new Deno.Command("promtool", {
        args: ["check", "rules", file],
        stdout: "null",
      }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
    } finally {
      await Deno.remove(file);
    }
  },
);

testNeeding(
  "promtool reads what a node says at /metrics [O1]",
  missingProgram("promtool"),
  async () => {
    const promtool = new Deno.Command("promtool", {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const writer = promtool.stdin.getWriter();
    await writer.write(new TextEncoder().encode(await scrape()));
    await writer.close();
    const { code, stderr } = await promtool.output();
    // 3: it would have liked other names.
    assert.ok(code === 0 || code === 3, new TextDecoder().decode(stderr));
  },
);
