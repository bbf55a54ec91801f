import assert from "node:assert/strict";
import { Registry } from "../../../src/web/mod.ts";

Deno.test("Registry renders counters and gauges", () => {
  const registry = new Registry();
  const calls = registry.counter("calls_total", "Calls.", ["method", "code"]);
  const open = registry.gauge("open", "Open\nthings \\ all.");
  registry.gauge("none", "Nothing yet.");
  calls.add(1, "Put", "ok");
  calls.add(2, "Put", "ok");
  calls.add(1, "Get", 'quo"te\\back\nline');
  open.add(5);
  open.add(-2);
  assert.equal(
    registry.render(),
    `# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{method="Put",code="ok"} 3
calls_total{method="Get",code="quo\\"te\\\\back\\nline"} 1
# HELP open Open\\nthings \\\\ all.
# TYPE open gauge
open 3
# HELP none Nothing yet.
# TYPE none gauge
none 0
`,
  );
  open.set(7);
  assert.match(registry.render(), /\nopen 7\n/);
});

Deno.test("Registry renders histograms with cumulative buckets", () => {
  const registry = new Registry();
  const sizes = registry.histogram("sizes", "Sizes.", ["kind"], [1, 10]);
  for (const value of [0.5, 1, 2, 10, 11]) sizes.observe(value, "a");
  assert.equal(
    registry.render(),
    `# HELP sizes Sizes.
# TYPE sizes histogram
sizes_bucket{kind="a",le="1"} 2
sizes_bucket{kind="a",le="10"} 4
sizes_bucket{kind="a",le="+Inf"} 5
sizes_sum{kind="a"} 24.5
sizes_count{kind="a"} 5
`,
  );
});

Deno.test("Registry asks collectors at each scrape and gives one head to samples of one name", () => {
  const registry = new Registry();
  let value = 0;
  registry.collect(() => [
    { name: "level", help: "L.", type: "gauge", value: ++value, labels: { level: "0" } },
    { name: "level", help: "L.", type: "gauge", value: 9, labels: { level: "1" } },
  ]);
  registry.render();
  assert.equal(
    registry.render(),
    '# HELP level L.\n# TYPE level gauge\nlevel{level="0"} 2\nlevel{level="1"} 9\n',
  );
});

Deno.test("Registry refuses a name twice", () => {
  const registry = new Registry();
  registry.gauge("a", "");
  assert.throws(() => registry.counter("a", ""), /it is there already/);
});
