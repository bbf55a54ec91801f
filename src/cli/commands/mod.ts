/**
 * The commands: their names, arguments and flags. Each is loaded when it runs, so that `pairdb get`
 * does not pay for what `pairdb serve` needs.
 * @module
 */
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import type { Process } from "../../runtime/mod.ts";
import type { Shell } from "../shell.ts";
import { parseDuration, parseSize } from "../units.ts";

/** Where commands look for a server unless told. */
const DEFAULT_SERVER = "http://127.0.0.1:50052";

/** The heading of the commands that need no server. */
const TOOLS = "Configuration and tools:";

/** Flags that every command has. */
interface CommonFlags {
  readonly output: "table" | "json";
  readonly server: string;
  readonly timeout: number;
  readonly token?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly certKey?: string;
}

/**
 * The program, ready to parse.
 * @param finish  gets the exit code of the command that ran
 */
export function buildProgram(process: Process, finish: (code: number) => void): Command {
  const program = new Command("pairdb")
    .description("A multi-tenant key-value store: server, client and tools in one program.")
    .addHelpCommand(
      new Command("help").argument("[command]").description("Show help for a command")
        .helpGroup(TOOLS),
    )
    .showHelpAfterError("(pairdb help COMMAND tells more)")
    // A flag belongs to the command that it stands behind: `snapshot` and `snapshot list` have the same.
    .enablePositionalOptions();

  /** Makes a command; `act` runs it and returns its exit code. */
  // deno-lint-ignore no-explicit-any -- commander hands over what its declarations say, untyped
  type Act = (shell: Shell, args: any[], flags: any) => Promise<number>;
  const command = (parent: Command, usage: string, description: string, act: Act): Command =>
    parent.command(usage).description(description)
      .addOption(outputOption())
      .addOption(verboseOption())
      .action(async (...all: unknown[]) => {
        const flags = all.at(-2) as CommonFlags;
        finish(await act(shellOf(process, flags), all.slice(0, -2), flags));
      });
  /** Makes a command that talks to a server. */
  const remote = (parent: Command, usage: string, description: string, act: Act): Command =>
    command(parent, usage, description, act)
      .addOption(serverOption(process))
      .addOption(timeoutOption())
      .option(
        "--token <token>",
        "who we are; better given as env PAIRDB_TOKEN, which no list shows",
      )
      .option("--ca <file>", "PEM of the CA of the server's certificate (env PAIRDB_CA)")
      .option("--cert <file>", "PEM of our own certificate (env PAIRDB_CERT)")
      .option("--cert-key <file>", "PEM of its key (env PAIRDB_CERT_KEY)");

  program.commandsGroup("Data:");
  remote(program, "put <tenant> <key> [value]", "Store a value; - or none: standard input", async (
    shell,
    [tenant, key, value],
    flags,
  ) => (await import("./put.ts")).put(shell, tenant, key, value, flags))
    .addOption(
      new Option(
        "--ttl <duration>",
        "forget the value after this time, such as 10s; 0: never, whatever the tenant's default is",
      ).argParser(anyDuration),
    )
    .option(
      "--context <context>",
      "replace what this context has seen, as get --output json gave it",
    )
    .option(
      "--if-context <context>",
      "store only if this is the key's context; none: only if it has no value",
    )
    .option(
      "--idempotency-key <text>",
      "store once, however often it is said with this key of 16 to 64 bytes",
    )
    .addOption(consistencyOption());
  remote(
    program,
    "get <tenant> <key>",
    "Print a value",
    async (shell, [tenant, key], flags) =>
      flags.explain
        ? (await import("./explain.ts")).explain(shell, tenant, key, flags)
        : (await import("./get.ts")).get(shell, tenant, key, flags),
  )
    .option("--raw", "print exactly the bytes, without a newline after them")
    .addOption(
      new Option("--explain", "print how the node read it, and its versions, not the value")
        .conflicts("raw"),
    )
    .addOption(consistencyOption());
  remote(
    program,
    "del <tenant> <key>",
    "Delete a key",
    async (shell, [tenant, key], flags) =>
      (await import("./del.ts")).del(shell, tenant, key, flags),
  )
    .option(
      "--context <context>",
      "delete what this context has seen, as get --output json gave it",
    )
    .option(
      "--if-context <context>",
      "delete only if this is the key's context; none: only if it has no value",
    )
    .option(
      "--idempotency-key <text>",
      "delete once, however often it is said with this key of 16 to 64 bytes",
    )
    .addOption(consistencyOption());
  remote(program, "scan <tenant>", "Print keys and values in key order", async (
    shell,
    [tenant],
    flags,
  ) => (await import("./scan.ts")).scan(shell, tenant, flags))
    .option("--prefix <text>", "only keys that begin with this")
    .option("--start <key>", "the first key, inclusive")
    .option("--end <key>", "the end, exclusive")
    .addOption(new Option("--limit <count>", "keys at most").argParser(positiveCount))
    .option("--reverse", "from the last key of the range to the first")
    .option("--keys-only", "leave values out")
    .addOption(consistencyOption());
  remote(program, "watch <tenant> [key]", "Print changes of keys as they are made", async (
    shell,
    [tenant, key],
    flags,
  ) => (await import("./watch.ts")).watch(shell, tenant, key, flags))
    .option("--prefix <text>", "only keys that begin with this")
    .option("--start <key>", "the first key, inclusive")
    .option("--end <key>", "the end, exclusive")
    .option("--initial", "begin with what is there, and again after a gap")
    .option("--keys-only", "leave values out")
    .option("--resume <token>", "go on behind the event that had this resume_token")
    .addOption(
      new Option("--limit <count>", "end after so many lines").argParser(positiveCount),
    );
  remote(
    program,
    "import <tenant> <file>",
    "Store records from JSON lines; -: standard input",
    async (
      shell,
      [tenant, file],
    ) => (await import("./import.ts")).importRecords(shell, tenant, file),
  );
  remote(program, "export <tenant>", "Print all records as JSON lines", async (
    shell,
    [tenant],
    flags,
  ) => (await import("./export.ts")).exportRecords(shell, tenant, flags))
    .option("--prefix <text>", "only keys that begin with this");

  program.commandsGroup("Node:");
  command(
    program,
    "serve",
    "Run a node",
    async (shell, _args, flags) => (await import("./serve.ts")).serve(shell, flags),
  )
    .addOption(configOption())
    .option("--node-id <id>", "the node's name (server.node_id)")
    .addOption(
      new Option("--listen <host:port>", "where to listen (server.host, server.port)")
        .argParser(hostAndPort),
    )
    .option("--data <dir>", "where data lives (storage.data_dir)")
    .option("--seeds <list>", "nodes of a cluster to join; not supported yet")
    .option("--dc <name>", "the node's data centre (server.datacenter)")
    .option("--rack <name>", "the node's rack (server.rack)")
    .addOption(setOption());
  remote(
    program,
    "status",
    "Print what a node is and holds",
    async (shell) => (await import("./status.ts")).status(shell),
  );
  remote(
    program,
    "health",
    "Exit with 0 when a node is healthy, otherwise with 1",
    async (shell) => (await import("./health.ts")).health(shell),
  );
  remote(
    program,
    "slow",
    "Print the slowest operations of the last minutes, slowest first",
    async (shell, _args, flags) => (await import("./slow.ts")).slow(shell, flags),
  )
    .addOption(
      new Option("--within <duration>", "only those that ended within this time, at most 5m")
        .argParser(positiveDuration),
    )
    .option("--tenant <tenant>", "only those of this tenant")
    .addOption(
      new Option("--limit <count>", "operations at most").argParser(positiveCount).default(10),
    );
  remote(
    program,
    "hot-keys [tenant]",
    "Print the keys that are read or written most, hottest first",
    async (shell, [tenant], flags) => (await import("./hot_keys.ts")).hotKeys(shell, tenant, flags),
  )
    .addOption(
      new Option("--limit <count>", "keys at most").argParser(positiveCount).default(10),
    );
  remote(
    program,
    "jobs",
    "Print what a node does in the background, and how far its scrub is",
    async (shell, _args, flags) => (await import("./jobs.ts")).listJobs(shell, flags),
  )
    .option("--ended", "also the last jobs that are over");
  const migrate = program.command("migrate").description("Moving data to another node");
  remote(
    migrate,
    "start [tenant]",
    "Move a tenant, or all, to another node while it is written to",
    async (shell, [tenant], flags) =>
      (await import("./migrate.ts")).startMigration(shell, tenant, flags),
  )
    .requiredOption("--to <url>", "the other node, such as http://10.0.0.2:50052")
    .option("--id <id>", "a name, under which it can be asked for again")
    .option("--start <key>", "the first key, inclusive")
    .option("--end <key>", "the end, exclusive")
    .option("--tokens <from:to>", "only keys with tokens in there, 32 hexadecimal digits each")
    .option("--wait", "until it is over");
  remote(
    migrate,
    "list",
    "Print migrations, the newest first",
    async (shell) => (await import("./migrate.ts")).listMigrations(shell),
  );
  remote(
    migrate,
    "cancel <id>",
    "End a migration; what has gone over stays there",
    async (shell, [id]) => (await import("./migrate.ts")).cancelMigration(shell, id),
  );
  remote(
    program,
    "drain",
    "Take no writes any more and move everything to another node; without --to: how far it is",
    async (shell, _args, flags) => (await import("./migrate.ts")).drain(shell, flags),
  )
    .option("--to <url>", "the other node, such as http://10.0.0.2:50052")
    .option("--detach", "do not wait for the end")
    .option("--cancel", "take writes again");
  const tenant = program.command("tenant").description("Tenants as objects");
  tenantOptions(remote(tenant, "create <tenant>", "Create a tenant", async (
    shell,
    [tenant],
    flags,
  ) => (await import("./tenant.ts")).createTenant(shell, tenant, flags)))
    .addOption(
      new Option(
        "--conflict-strategy <name>",
        "what becomes of concurrent versions, for good: vector_clock (default), lww, merge:counter, merge:gset, merge:orset, merge:map, merge:max, merge:min, or merge: and a merge function",
      ),
    );
  tenantOptions(remote(tenant, "update <tenant>", "Change options of a tenant in use", async (
    shell,
    [tenant],
    flags,
  ) => (await import("./tenant.ts")).updateTenant(shell, tenant, flags)));
  remote(
    tenant,
    "list",
    "Print all tenants",
    async (shell) => (await import("./tenant.ts")).listTenants(shell),
  );
  remote(tenant, "drop <tenant>", "Remove a tenant with all its data, for good", async (
    shell,
    [tenant],
    flags,
  ) => (await import("./tenant.ts")).dropTenant(shell, tenant, flags))
    .option("--yes", "do not ask");
  const mergeFunction = program.command("merge-function").description(
    "Functions of the application that merge concurrent values",
  );
  unhurried(remote(
    mergeFunction,
    "register <name> <file>",
    "Try a function in TypeScript or JavaScript, and keep it for tenants with merge:<name>",
    async (shell, [name, file], flags) =>
      (await import("./merge_function.ts")).registerMergeFunction(shell, name, file, flags),
  ))
    .option("--sample <file...>", "files with values of the application, to try it on; at most 8");
  remote(
    mergeFunction,
    "list",
    "Print the functions that are registered",
    async (shell) => (await import("./merge_function.ts")).listMergeFunctions(shell),
  );
  remote(
    mergeFunction,
    "remove <name>",
    "Forget a function that no tenant has",
    async (shell, [name]) => (await import("./merge_function.ts")).removeMergeFunction(shell, name),
  );
  unhurried(
    remote(
      program,
      "flush [tenant]",
      "Write memtables to tables",
      async (shell, [tenant]) => (await import("./maintain.ts")).flush(shell, tenant),
    ),
  );
  unhurried(remote(program, "compact [tenant]", "Merge tables down to one level", async (
    shell,
    [tenant],
    flags,
  ) => (await import("./maintain.ts")).compact(shell, tenant, flags)))
    .option("--start <key>", "the first key, inclusive")
    .option("--end <key>", "the end, exclusive")
    .option(
      "--purge",
      "drop what is deleted or expired by now, without waiting for the grace time",
    );
  remote(
    program,
    "scrub",
    "Begin to read and verify all that is on the disk; pairdb jobs tells how far it is",
    async (shell) => (await import("./maintain.ts")).scrub(shell),
  );
  const cache = program.command("cache").description("The caches of a node");
  for (
    const [verb, words] of [
      ["invalidate", "Take a tenant's keys out of the row cache and the shared cache"],
      ["fill", "Put a tenant's keys into the shared cache"],
    ] as const
  ) {
    unhurried(
      remote(
        cache,
        `${verb} <tenant>`,
        words,
        async (shell, [tenant], flags) =>
          (await import("./cache.ts")).changeCache(shell, verb, tenant, flags),
      ),
    )
      .option("--key <key>", "only this key")
      .option("--prefix <prefix>", "only keys that begin with it");
  }
  const snapshot = unhurried(
    remote(
      program,
      "snapshot <name>",
      "Make a consistent copy of all data, while the node serves",
      async (shell, [name], flags) =>
        (await import("./snapshot.ts")).createSnapshot(shell, name, flags),
    ),
  )
    .option("--to <dir>", "copy it to DIR/NAME, sharing what an earlier copy in DIR has")
    .option("--previous <dir>", "the copy to share with; default: the newest in --to")
    .option("--keep", "with --to: keep the snapshot in the node's data directory too")
    .enablePositionalOptions();
  unhurried(
    remote(
      snapshot,
      "list [dir]",
      "Print the node's snapshots, or the copies in a directory",
      async (
        shell,
        [dir],
      ) => (await import("./snapshot.ts")).listSnapshots(shell, dir),
    ),
  );
  unhurried(remote(
    snapshot,
    "verify <which>",
    "Read every byte of a snapshot: a node's by name, or a directory such as ./monday",
    async (shell, [which]) => (await import("./snapshot.ts")).verifySnapshot(shell, which),
  ));
  unhurried(remote(snapshot, "delete <name>", "Delete a node's snapshot, for good", async (
    shell,
    [name],
  ) => (await import("./snapshot.ts")).deleteSnapshot(shell, name)));
  command(
    program,
    "restore <snapshot>",
    "Make a new data directory from a snapshot's directory",
    async (shell, [snapshot], flags) =>
      (await import("./restore.ts")).restore(shell, snapshot, flags),
  )
    .requiredOption("--data <dir>", "the new data directory: absent or empty")
    .option("--node-id <id>", "the new node's name; default: a new random one")
    .option("--copy", "copy all files, also where they could be shared with the snapshot");

  program.commandsGroup("Access:");
  const token = program.command("token").description("The tokens that a node takes");
  const access = (parent: Command, usage: string, description: string, act: Act): Command =>
    command(parent, usage, description, act)
      .addOption(configOption())
      .option("--data <dir>", "the node's data directory (storage.data_dir)")
      .addOption(setOption());
  grantOptions(
    access(
      token,
      "create",
      "Make a token, and print it: this once",
      async (shell, _args, flags) => (await import("./access.ts")).createToken(shell, flags),
    ),
  );
  access(
    token,
    "list",
    "Print whose tokens there are, without the tokens",
    async (shell, _args, flags) => (await import("./access.ts")).listTokens(shell, flags),
  );
  access(token, "revoke <id>", "Have a token taken no more", async (
    shell,
    [id],
    flags,
  ) => (await import("./access.ts")).revokeToken(shell, id, flags));
  const certificate = program.command("certificate")
    .description("The client certificates that a node takes, by their names");
  grantOptions(
    access(
      certificate,
      "allow <san>",
      "Say who the certificate is that has this name, such as URI:spiffe://… or DNS:host",
      async (shell, [san], flags) =>
        (await import("./access.ts")).allowCertificate(shell, san, flags),
    ),
  );
  access(
    certificate,
    "list",
    "Print whose certificates there are",
    async (shell, _args, flags) => (await import("./access.ts")).listCertificates(shell, flags),
  );
  access(certificate, "revoke <san>", "Have a certificate taken no more", async (
    shell,
    [san],
    flags,
  ) => (await import("./access.ts")).revokeCertificate(shell, san, flags));

  program.commandsGroup(TOOLS);
  const config = program.command("config").description("The configuration of a node");
  command(
    config,
    "print",
    "Print the options in effect, as YAML",
    async (shell, _args, flags) => (await import("./config.ts")).configPrint(shell, flags),
  )
    .addOption(configOption())
    .addOption(setOption());
  command(
    config,
    "validate <file>",
    "Check a configuration file",
    async (shell, [file]) => (await import("./config.ts")).configValidate(shell, file),
  );
  command(program, "check <dir>", "Verify every checksum in a closed data directory", async (
    shell,
    [dir],
    flags,
  ) => (await import("./check.ts")).check(shell, dir, flags)).addOption(keyFileOption());
  command(program, "dump <file>", "Show a log segment, a table or a manifest", async (
    shell,
    [file],
    flags,
  ) => (await import("./dump.ts")).dump(shell, file, flags)).addOption(keyFileOption());
  remote(
    program,
    "bench <tenant>",
    "Measure how many reads and writes of a tenant a server does, and how quickly",
    async (shell, [tenant], flags) => (await import("./bench.ts")).bench(shell, tenant, flags),
  )
    .addOption(
      new Option("--duration <duration>", "how long").argParser(positiveDuration)
        .default(10_000, "10s"),
    )
    .addOption(
      new Option("--clients <count>", "calls under way at a time").argParser(positiveCount)
        .default(16),
    )
    .addOption(
      new Option("--reads <percent>", "of all calls; the others are writes").argParser(anyPercent)
        .default(80),
    )
    .addOption(
      new Option("--keys <count>", "keys, bench/00000000 and so on, which are written first")
        .argParser(positiveCount).default(10_000),
    )
    .addOption(
      new Option("--value-size <size>", "of each value").argParser(anySize).default(100, "100"),
    );
  command(
    program,
    "version",
    "Print the version",
    async (shell) => (await import("./version.ts")).version(shell),
  );
  command(program, "completions", "Print a script that completes commands in a shell", async (
    shell,
    [name],
  ) => (await import("./completions.ts")).completions(shell, name))
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish", "powershell"]));
  return program;
}

/** Prints what could stand where the last word is: what the scripts of `pairdb completions` call. */
export async function complete(process: Process, words: readonly string[]): Promise<void> {
  (await import("./completions.ts")).printCandidates(process, words);
}

function shellOf(process: Process, flags: Partial<CommonFlags>): Shell {
  return {
    process,
    output: flags.output ?? "table",
    server: flags.server ?? DEFAULT_SERVER,
    timeoutMs: flags.timeout ?? 0,
    token: flags.token ?? (process.env("PAIRDB_TOKEN") || undefined),
    tls: {
      ca: flags.ca ?? (process.env("PAIRDB_CA") || undefined),
      cert: flags.cert ?? (process.env("PAIRDB_CERT") || undefined),
      key: flags.certKey ?? (process.env("PAIRDB_CERT_KEY") || undefined),
    },
  };
}

function outputOption(): Option {
  return new Option(
    "--output <form>",
    "answer for people, with headings on a terminal, or for programs",
  )
    .choices(["table", "json"]).default("table");
}

function verboseOption(): Option {
  return new Option("--verbose", "show where an error comes from");
}

function serverOption(process: Process): Option {
  return new Option("--server <url>", "the server to talk to (env PAIRDB_SERVER)")
    .default(process.env("PAIRDB_SERVER") || DEFAULT_SERVER);
}

function timeoutOption(): Option {
  return new Option("--timeout <duration>", "give a call up after this time; 0: never")
    .argParser(anyDuration).default(30_000, "30s");
}

/** What a tenant can have of its own. */
function tenantOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--compaction <strategy>", "shape of its tables (compaction.strategy)")
        .choices(["leveled", "size_tiered", "time_window", "hybrid"]),
    )
    .addOption(
      new Option("--ttl <duration>", "forget values that have no time of their own; 0: never")
        .argParser(anyDuration),
    )
    .addOption(
      new Option("--window <duration>", "time that shares its tables, with time_window")
        .argParser(positiveDuration),
    )
    .addOption(
      new Option("--compression <name>", "of its tables from now on, on every level")
        .choices(["none", "lz4", "snappy", "zstd"]),
    )
    .addOption(
      new Option("--cache-share <percent>", "of each cache that it may hold, 1 to 100; 0: any")
        .argParser(anyPercent),
    )
    .addOption(
      new Option("--max-bytes <size>", "keys and values that it may have, such as 10GiB; 0: any")
        .argParser(anySize),
    )
    .addOption(
      new Option("--max-keys <count>", "keys that it may have; 0: any").argParser(anyCount),
    )
    .addOption(
      new Option("--max-requests <count>", "requests a second; 0: any").argParser(anyCount),
    )
    .addOption(
      new Option("--max-bandwidth <size>", "bytes a second in and out, such as 20MiB; 0: any")
        .argParser(anySize),
    );
}

/** What a token or a certificate stands for. */
function grantOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--role <role>",
        "what its owner may do; client: keys and values of --tenants; operator: all but the calls " +
          "between nodes; node: those",
      ).choices(["client", "operator", "node"])
        .makeOptionMandatory(),
    )
    .option("--tenants <list>", "what a client may touch: tenant ids with commas, or * for all")
    .option("--read-only", "only calls that change nothing")
    .addOption(
      new Option("--expires <duration>", "it is none any more after this time, such as 30d")
        .argParser(positiveDuration),
    )
    .option("--note <text>", "what people want to remember about it");
}

/** Upkeep takes as long as it takes. */
function unhurried(command: Command): Command {
  return command.setOptionValueWithSource("timeout", 0, "default");
}

function consistencyOption(): Option {
  return new Option("--consistency <level>", "how many replicas answer first").choices([
    "one",
    "quorum",
    "all",
    "local_quorum",
    "each_quorum",
    "any",
    "serial",
  ]);
}

function keyFileOption(): Option {
  return new Option("--key-file <file>", "the key of an encrypted store: 64 hexadecimal digits");
}

function configOption(): Option {
  return new Option("--config <file>", "a YAML file of options (env PAIRDB_CONFIG)");
}

function setOption(): Option {
  return new Option("--set <option=value>", "set any option, such as server.port=8080; repeatable")
    .argParser((
      assignment: string,
      earlier: string[] = [],
    ) => [...earlier, anyAssignment(assignment)]);
}

function anyAssignment(text: string): string {
  if (text.indexOf("=") > 0) return text;
  throw new InvalidArgumentError("It is not of the form option=value, such as server.port=8080.");
}

function anyDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError("It is not a duration such as 10s or 5m.");
  return ms;
}

function positiveDuration(text: string): number {
  const ms = anyDuration(text);
  if (ms === 0) throw new InvalidArgumentError("It is not above 0.");
  return ms;
}

function positiveCount(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : 0;
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new InvalidArgumentError("It is not an integer above 0.");
}

function anyCount(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(count)) return count;
  throw new InvalidArgumentError("It is a whole number.");
}

function anyPercent(text: string): number {
  const percent = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  if (percent <= 100) return percent;
  throw new InvalidArgumentError("It is a whole number from 0 to 100.");
}

function anySize(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError("It is a size such as 500MB or 10GiB.");
}

function hostAndPort(text: string): { host: string; port: string } {
  const parts = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d+)$/.exec(text);
  if (parts !== null) return { host: parts[1] ?? parts[2], port: parts[3] };
  throw new InvalidArgumentError("It is not of the form HOST:PORT, such as 127.0.0.1:50052.");
}
