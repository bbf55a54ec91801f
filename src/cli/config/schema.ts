/**
 * The schema of the configuration: every option with its default, bounds, unit and words. The file,
 * the environment, the flags, `config print` and docs/configuration.md all go by it.
 *
 * Only what the program honours is here. Options of the design documents that are still to come are
 * in {@link NOT_YET}, so that whoever sets one is told rather than ignored.
 * @module
 */
import { z } from "zod";
import { isLoopback } from "../../web/mod.ts";
import { NODE_NAME } from "../node_name.ts";
import { QUIET_HOURS } from "../units.ts";
import {
  choice,
  choiceList,
  duration,
  flag,
  integer,
  number,
  path,
  size,
  text,
  textList,
} from "./option.ts";

/** `HOST:PORT`, as {@link hostAndPort} takes it apart. */
const LISTEN = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/;

/** Who this node is and where it listens. Per process, except `node_id`. */
const server = z.strictObject({
  node_id: text(
    "This node's name. Empty: the data directory's, drawn at the first start. In versions of values a chosen one has the first digits of the directory's incarnation behind it.",
    { default: "", ...NODE_NAME },
  ),
  host: text(
    "Address to listen on. 0.0.0.0 lets other machines in; with one like that, auth.mode has to be written out.",
    {
      default: "127.0.0.1",
      pattern: /^[A-Za-z0-9.:_-]{1,253}$/,
      expects: "a host name or an IP address without a port",
    },
  ),
  port: integer("Port for every protocol. 0: any free one, named by the ready line.", {
    default: 50052,
    min: 0,
    max: 65535,
  }),
  max_connections: integer(
    "Connections at a time, and streams at a time on each HTTP/2 connection. More are refused.",
    { default: 1000, min: 1, max: 1_000_000 },
  ),
  read_timeout: duration(
    "Time for a read that came without a deadline. Scans are exempt.",
    { default: "10s", min: "1ms", max: "1h" },
  ),
  write_timeout: duration(
    "Time for a write that came without a deadline. What is told then says whether it may still be stored. One that is held back by work in the background is refused after nine tenths of it, or 10 s.",
    { default: "10s", min: "1ms", max: "1h" },
  ),
  shutdown_timeout: duration(
    "Time for running requests at shutdown, and then for work in the background; after it they are cut off. What was acknowledged is safe either way.",
    { default: "30s", min: "0ms", max: "1h" },
  ),
  cors_origins: textList(
    "Origins whose pages may call this server from a browser; a port of * is any port, * alone is every page there is.",
    {
      default: ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"],
      pattern: /^(\*|https?:\/\/[^\s/*]+(:\*)?)$/,
      expects: "origins such as https://example.org or http://localhost:*, or *",
      maxItems: 100,
    },
  ),
  allowed_hosts: textList(
    "Host names that a server on a loopback address answers to besides loopback's own; *: all. A guard against DNS rebinding.",
    {
      default: [],
      pattern: /^(\*|[A-Za-z0-9._-]{1,253})$/,
      expects: "host names without a port, or *",
      maxItems: 100,
    },
  ),
  datacenter: text(
    "Data centre of this node: a label in the log at start; one node places nothing by it.",
    {
      default: "dc1",
      pattern: /^[A-Za-z0-9._-]{1,128}$/,
      expects: "1 to 128 letters, digits, dots, dashes and underscores",
    },
  ),
  rack: text("Rack of this node: a label in the log at start; one node places nothing by it.", {
    default: "rack1",
    pattern: /^[A-Za-z0-9._-]{1,128}$/,
    expects: "1 to 128 letters, digits, dots, dashes and underscores",
  }),
  context_seal: choice(
    "Whether contexts need the seal that the node gave them. optional: one without a seal, made by hand or by an older program, is taken. required: it is refused (1000). One with the seal of another tenant or key always is.",
    ["optional", "required"],
    "optional",
  ),
});

/** Who may call. */
const auth = z.strictObject({
  mode: choice(
    "Who may call. local: everybody, and only loopback addresses are listened on; none: everybody, from everywhere; token: who shows a token; certificate: who shows a client certificate; token_or_certificate: either, and a token that is shown decides.",
    ["local", "none", "token", "certificate", "token_or_certificate"],
    "local",
  ),
  credentials_file: path(
    "File of hashes of tokens and of names of certificates, which pairdb token and pairdb certificate write. Empty: auth/credentials.json in storage.data_dir.",
  ),
  reload_interval: duration(
    "How often the credentials, and the certificates of the tls section, are looked at for changes. SIGHUP looks at once.",
    { default: "5s", min: "100ms", max: "1h" },
  ),
  metrics: choice(
    "Who may see GET /metrics once there is authentication: operators, or everybody.",
    ["operator", "open"],
    "operator",
  ),
});

/** Encryption on the wire. */
const tls = z.strictObject({
  cert_file: path(
    "File of the server's certificate in PEM, with those between it and its CA. Empty: no TLS. It is read again when it changes; running connections stay.",
  ),
  key_file: path("File of the certificate's private key in PEM, not encrypted."),
  ca_file: path(
    "File of the CAs in PEM whose client certificates are taken. Needed unless client_auth is none.",
  ),
  client_auth: choice(
    "Whether clients show a certificate. none: they are not asked; request: who has none goes on without; require: who has none is turned away. A bad one is turned away in any case.",
    ["none", "request", "require"],
    "none",
  ),
  min_version: choice("The oldest version of TLS that is spoken.", ["1.2", "1.3"], "1.2"),
  listen: text(
    "Address and port for TLS beside the one of the server section, which goes on without TLS. Empty: server.host and server.port speak TLS, and nothing else is spoken.",
    {
      default: "",
      pattern: new RegExp(`^$|${LISTEN.source}`),
      expects: "of the form HOST:PORT, such as 0.0.0.0:50053",
    },
  ),
  handshake_timeout: duration("Time for a handshake; who is slower is cut off.", {
    default: "10s",
    min: "100ms",
    max: "1m",
  }),
}).superRefine((options, context) => {
  const issue = (path: string, message: string) =>
    context.addIssue({ code: "custom", path: [path], message });
  const { cert_file, key_file, ca_file, client_auth, listen } = options;
  if (cert_file !== "" && key_file === "") issue("key_file", "must be set with tls.cert_file");
  if (cert_file === "" && key_file !== "") issue("cert_file", "must be set with tls.key_file");
  if (cert_file === "" && client_auth !== "none") {
    issue("client_auth", "needs TLS: set tls.cert_file");
  }
  if (cert_file === "" && listen !== "") issue("listen", "needs TLS: set tls.cert_file");
  if (client_auth !== "none" && ca_file === "") {
    issue("ca_file", "must be set when clients are asked for certificates");
  }
});

/** What this node shows to others, and whom it trusts. */
const peer = z.strictObject({
  token_file: path(
    "File of the token, of role node, that this node shows to others when it moves data to them. Empty: none.",
  ),
  ca_file: path(
    "File of the CAs in PEM whose certificates are taken from other nodes. Needed for targets with https.",
  ),
  cert_file: path("File of the certificate in PEM that this node shows to others. Empty: none."),
  key_file: path("File of that certificate's private key in PEM, not encrypted."),
  allow_http: flag(
    "Whether data, and the token, go to targets with http:// on other machines too, where everybody on the way can read both. To loopback addresses they always may.",
    false,
  ),
}).superRefine(({ cert_file, key_file }, context) => {
  if ((cert_file === "") === (key_file === "")) return;
  const [missing, there] = cert_file === "" ? ["cert_file", "key_file"] : ["key_file", "cert_file"];
  context.addIssue({ code: "custom", path: [missing], message: `must be set with peer.${there}` });
});

/** Where data lives. */
const storage = z.strictObject({
  data_dir: text("Directory of all data, made when missing. One node at a time holds it.", {
    default: "./pairdb-data",
    // deno-lint-ignore no-control-regex -- a NUL ends a path for the system: it must not get there
    pattern: /^[^\x00]{1,4096}$/,
    expects: "a path of 1 to 4096 characters",
  }),
  max_open_files: integer(
    "Tables that are kept open at a time; others are opened again when they are read. Stay below half of what the system allows the process.",
    { default: 1000, min: 16, max: 1_000_000 },
  ),
  max_disk_usage: number(
    "Share of the disk in use from which large writes are refused (2003) and the node is degraded. Large is what is estimated at over 64 KiB on the disk, in the log and in a table: about 27 KB of value. From halfway to all of it on, 0.95 by default, puts are refused (2002); deletes go on.",
    { default: 0.9, min: 0.1, max: 1 },
  ),
});

/** What a filling disk takes. */
const disk = z.strictObject({
  strict: flag("Whether a disk that is full for puts refuses deletes too.", false),
  check_interval: duration(
    "How often the disk is measured; what is written in between is estimated. Longer: files of other programs are noticed later.",
    { default: "1s", min: "100ms", max: "1m" },
  ),
  reserve: size(
    "Size of a file of ballast in the data directory, a 64th of the disk at most. When files of others fill the disk, it is given up for the log's last bytes, for deletes (half of it), for dropping tenants and for a start; it is made anew when there is room. 0: none.",
    { default: "16MiB", min: "0", max: "1GiB" },
  ),
});

/** Memory as a whole. */
const memory = z.strictObject({
  budget: size(
    "Memory of memtables, block cache and row cache together; what each may have shrinks in proportion. 0: the sum of what each may have.",
    { default: "0", min: "0", max: "1TiB" },
  ),
});

/** The write-ahead log: what makes an acknowledged write last. */
const commitLog = z.strictObject({
  segment_size: size("Size at which the log goes on in a new file.", {
    default: "1GiB",
    min: "1MiB",
    max: "16GiB",
  }),
  max_segment_age: duration("Age at which the log goes on in a new file.", {
    default: "10m",
    min: "1s",
    max: "168h",
  }),
  sync_mode: choice(
    "When a write is acknowledged: always, once it is on the disk; batch, at once, and synced every sync_interval or sync_every writes; none, at once, and the system syncs when it likes. All but always lose the last writes with the power.",
    ["always", "batch", "none"],
    "always",
  ),
  sync_interval: duration("Longest time without a sync in mode batch.", {
    default: "100ms",
    min: "1ms",
    max: "1m",
  }),
  sync_every: integer("Most writes without a sync in mode batch.", {
    default: 1000,
    min: 1,
    max: 10_000_000,
  }),
  archive: flag(
    "Keep log segments that are not needed any more in wal/archive, until max_age or archive_max_segments, or until the disk is so full that large writes are refused; else they are removed.",
    false,
  ),
  max_age: duration("Age at which an archived segment is removed, looked at with each flush.", {
    default: "168h",
    min: "1s",
    max: "87600h",
  }),
  archive_max_segments: integer("Most archived segments that are kept; the oldest go first.", {
    default: 16,
    min: 1,
    max: 1_000_000,
  }),
  recovery: choice(
    "Damage in the middle of the log at start: salvage skips it, names the loss and serves the rest; strict refuses to start.",
    ["salvage", "strict"],
    "salvage",
  ),
});

/** Encryption at rest. */
const encryption = z.strictObject({
  key_file: path(
    "File of 64 hexadecimal digits: the key that log, manifest and tables are encrypted with from then on. Empty: no encryption. Without the file the data is lost.",
  ),
});

/** Memory for writes. */
const memTable = z.strictObject({
  max_size: size(
    "Size at which a tenant's memtable is written to a table. More: fewer, larger tables, more memory and a longer recovery.",
    {
      default: "64MiB",
      min: "64KiB",
      max: "1GiB",
    },
  ),
  num_mem_tables: integer(
    "Full memtables of a tenant that may wait for their table before writes wait.",
    {
      default: 2,
      min: 1,
      max: 16,
    },
  ),
  max_age: duration(
    "Age at which a memtable that is not full is written to a table, looked at every half minute: so a start has no old log to replay, and no old segment stays for a few writes. 0: whatever its age.",
    { default: "1h", min: "0ms", max: "8760h" },
  ),
  flush_on_stop: flag(
    "Whether a stop writes memtables to tables, for as long as server.shutdown_timeout at most: the next start has little to replay then. Nothing is lost without.",
    true,
  ),
  total_size: size(
    "Memory of all memtables together; beyond it the largest is written to a table.",
    { default: "512MiB", min: "1MiB", max: "64GiB" },
  ),
});

/** Tables on disk. A change holds for tables written from then on. */
const sstable = z.strictObject({
  block_size: size(
    "Size of a data block before compression. More: smaller indexes, more read for one key.",
    {
      default: "4KiB",
      min: "4KiB",
      max: "64KiB",
    },
  ),
  bloom_filter_fp: number(
    "Share of absent keys for which a table is read in vain. Less: bigger filters, ten bits a key at 0.01.",
    {
      default: 0.01,
      min: 0.0001,
      max: 0.5,
    },
  ),
  compression_per_level: choiceList(
    "Compression of tables, level by level from 0; the last holds for all deeper levels. lz4 and snappy cost little, zstd makes tables half as large again.",
    ["none", "lz4", "snappy", "zstd"],
    { default: ["none", "none", "lz4", "lz4", "zstd"], maxItems: 64 },
  ),
  partition_size: size(
    "Partitions of the index and filter of a large table; whole, and in memory, they are in tables where both take less than 64 of them.",
    { default: "64KiB", min: "4KiB", max: "1MiB" },
  ),
  l0_size: size(
    "Base of the target sizes of tables: on level n it is l0_size times level_multiplier to the power of n. Level 0 itself holds whole memtables.",
    { default: "64MiB", min: "64KiB", max: "4GiB" },
  ),
  level_multiplier: integer("How much larger tables get from one level to the next.", {
    default: 2,
    min: 1,
    max: 10,
  }),
});

/** Memory for reads. */
const cache = z.strictObject({
  max_size: size(
    "Memory of all caches together: the block cache comes first, the row cache has at most what is left.",
    {
      default: "1GiB",
      min: "0",
      max: "1TiB",
    },
  ),
  block_cache_size: size("Memory for blocks of tables.", {
    default: "256MiB",
    min: "0",
    max: "1TiB",
  }),
  warm: flag(
    "Whether a clean stop notes which blocks were in the cache, and the next start reads them in the background.",
    true,
  ),
  row_cache_size: size(
    "Memory for whole rows that were read from tables, counted as key, value and 64 bytes each. 0: none.",
    {
      default: "256MiB",
      min: "0",
      max: "32GiB",
    },
  ),
  frequency_weight: number(
    "How much the accesses to a row count for keeping it. 0.3 while over 70 % of the rows were asked for in the window, 0.7 while under 30 %.",
    { default: 0.5, min: 0, max: 1 },
  ),
  recency_weight: number(
    "How much the time since its last access counts against a row. 0.7 while over 70 % of the rows were asked for in the window, 0.3 while under 30 %.",
    { default: 0.5, min: 0, max: 1 },
  ),
  adaptive_window: duration("Time over which it is observed which rows are asked for.", {
    default: "5m",
    min: "1s",
    max: "24h",
  }),
});

/** A cache that other processes use too. */
const sharedCache = z.strictObject({
  kind: choice(
    "Which cache stands between the row cache and the disk. What it answers is believed only when it is proved true; it lasts as long as the process.",
    ["none", "redis", "memcached"],
    "none",
  ),
  url: text(
    "Where it is: redis://HOST:PORT/DB or memcache://HOST:PORT; rediss:// and memcaches:// speak TLS.",
    {
      default: "",
      pattern:
        /^$|^(rediss?|memcaches?):\/\/([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(\/\d{0,5})?$/,
      expects: "a URL without user and password, such as redis://127.0.0.1:6379",
    },
  ),
  user: text("User to log in as, at Redis. Empty: its default user.", {
    default: "",
    pattern: /^[!-~]{0,128}$/,
    expects: "up to 128 characters of ASCII without spaces",
  }),
  password_file: path(
    "File that holds the password for Redis, and a line feed if one likes. Empty: none.",
  ),
  ca_file: path(
    "File of the CAs in PEM that may have signed the cache's certificate. Empty: the system's.",
  ),
  mode: choice(
    "What gets into it. read_through: what reads find on the disk; write_through: that, and what is written, before the answer; write_behind: the same, behind the answer; cache_aside: only what pairdb cache fill puts there.",
    ["read_through", "write_through", "write_behind", "cache_aside"],
    "read_through",
  ),
  ask: choice(
    "Which reads ask it. slow_disk: those that go to the disk while that is slow, taking more than half a millisecond on average; always: all that go to the disk.",
    ["slow_disk", "always"],
    "slow_disk",
  ),
  ttl: duration("Time that it keeps a value.", { default: "1h", min: "1s", max: "720h" }),
  max_value_size: size(
    "Larger values stay out, counted with their versions. Memcached itself takes no more than 1MiB, which is 768KiB here.",
    { default: "64KiB", min: "1", max: "10MiB" },
  ),
  timeout: duration(
    "Time that a read, or a writer with write_through, waits for it. After five calls in a row that took longer it is left alone for a while.",
    { default: "10ms", min: "1ms", max: "1s" },
  ),
  queue_size: size("Memory for values on their way there. What does not fit is left out.", {
    default: "8MiB",
    min: "64KiB",
    max: "1GiB",
  }),
}).superRefine(({ kind, url, user, password_file }, context) => {
  const issue = (path: string, message: string) =>
    context.addIssue({ code: "custom", path: [path], message });
  if (kind === "redis" && !url.startsWith("redis")) {
    issue("url", "must be a redis:// or rediss:// URL for the kind redis");
  }
  if (kind !== "memcached") return;
  if (!url.startsWith("memcache")) {
    issue("url", "must be a memcache:// or memcaches:// URL for the kind memcached");
  }
  if (user !== "") issue("user", "is for Redis alone");
  if (password_file !== "") issue("password_file", "is for Redis alone");
});

/** Merging tables in the background. */
const compaction = z.strictObject({
  strategy: choice(
    "Shape of a tenant's tables. leveled: cheap reads, little space; size_tiered: cheap writes, more space; time_window: for data that dies by age; hybrid: size_tiered on level 0, leveled below.",
    ["leveled", "size_tiered", "time_window", "hybrid"],
    "leveled",
  ),
  window: duration("Time that shares its tables, with the strategy time_window.", {
    default: "24h",
    min: "1s",
    max: "8760h",
  }),
  tombstone_grace: duration(
    "Time that a deleted or expired value stays on disk. Longer than a stale copy may take to come back, and a wrong clock to be noticed.",
    { default: "24h", min: "0ms", max: "8760h" },
  ),
  l0_trigger: integer(
    "L0 tables of a tenant that start a compaction. Fewer: cheaper reads, more rewriting.",
    {
      default: 4,
      min: 1,
      max: 1000,
    },
  ),
  l0_slowdown: integer("L0 tables of a tenant at which its writes are slowed.", {
    default: 8,
    min: 1,
    max: 1000,
  }),
  l0_stop: integer(
    "L0 tables of a tenant at which its writes wait. Rarely worth changing; no read answers differently.",
    {
      default: 12,
      min: 2,
      max: 1000,
    },
  ),
  level_base_size: size(
    "Bytes on level 1 before they move down; each level below holds ten times more.",
    {
      default: "256MiB",
      min: "1MiB",
      max: "1TiB",
    },
  ),
  pending_slowdown: size(
    "Bytes of a tenant that are still to be compacted at which its writes are slowed.",
    { default: "64GiB", min: "1MiB", max: "64TiB" },
  ),
  pending_stop: size(
    "Bytes of a tenant that are still to be compacted at which its writes wait.",
    { default: "256GiB", min: "2MiB", max: "64TiB" },
  ),
  throttle: number(
    "Megabytes a second of all work in the background: what flushes and compactions write, what snapshots copy and digest, what scrubs, transfers and migrations read. Flushes go first, scrubs last unless they are late, all others share it evenly. 0: no limit. 50 leaves a slow disk to its readers. It does not hold while a node stops.",
    { default: 0, min: 0, max: 100_000 },
  ),
  workers: integer("Threads for compactions; flushes have one more.", {
    default: 2,
    min: 1,
    max: 64,
  }),
  queue: integer(
    "Jobs that may wait for a thread; more are refused, and planned again after a pause.",
    { default: 1024, min: 1, max: 100_000 },
  ),
}).superRefine((options, context) => {
  if (options.pending_stop <= options.pending_slowdown) {
    context.addIssue({
      code: "custom",
      path: ["pending_stop"],
      message: "must be above compaction.pending_slowdown",
    });
  }
  if (options.l0_slowdown < options.l0_trigger) {
    context.addIssue({
      code: "custom",
      path: ["l0_slowdown"],
      message: "must not be below compaction.l0_trigger",
    });
  }
  if (options.l0_stop <= options.l0_slowdown) {
    context.addIssue({
      code: "custom",
      path: ["l0_stop"],
      message: "must be above compaction.l0_slowdown",
    });
  }
});

/** Snapshots by a schedule. */
const snapshot = z.strictObject({
  interval: duration(
    "Time from one snapshot that the node makes by itself to the next, a minute or more. They are called auto- and the time. 0: it makes none.",
    { default: "0ms", min: "0ms", max: "8760h" },
  ),
  keep: integer(
    "How many of those are kept; older ones are deleted once a newer one is there. Others are left alone.",
    { default: 7, min: 1, max: 1000 },
  ),
}).superRefine(({ interval }, context) => {
  if (interval === 0 || interval >= 60_000) return;
  context.addIssue({ code: "custom", path: ["interval"], message: "must be 0 or 1m and more" });
});

/** Verifying what is on disk, again and again. */
const scrub = z.strictObject({
  interval: duration(
    "Time within which every table and log segment is read and verified. It reads all data once in three quarters of this, spread over a quarter. 0ms: never.",
    { default: "168h", min: "0ms", max: "8760h" },
  ),
});

/** Work in the background as a whole. */
const background = z.strictObject({
  quiet_hours: text(
    "Hours of the day, in UTC, on all days or on some, in which what can wait makes way: the scrub, snapshots by the schedule, and compactions that only drop what is dead rest, transfers to other nodes are slow. Empty: none.",
    {
      default: "",
      pattern: QUIET_HOURS,
      expects:
        "two times of the day with a hyphen, after days of the week where it is not for all, such as 22:00-06:30 or mon-fri,sun 08:00-18:00, or empty",
    },
  ),
  quiet_rate: number(
    "The share of its usual rate that a transfer to another node has in quiet hours.",
    { default: 0.25, min: 0.01, max: 1 },
  ),
});

/** Tenants. */
const tenant = z.strictObject({
  auto_create: flag(
    "Whether the first write to a tenant creates it. When false, unknown tenants are errors (1004).",
    true,
  ),
});

/** Keys that are named more often than is good for the node. */
const hotKeys = z.strictObject({
  max_reads_per_second: integer(
    "Reads of one key in a second; what is more is refused (2008, with a hint when to come again). It holds for keys that have more than 1/256 of the node's reads. 0: no limit.",
    { default: 0, min: 0, max: 1_000_000_000 },
  ),
  max_writes_per_second: integer(
    "The same of writes. Deletes are not refused.",
    { default: 0, min: 0, max: 1_000_000_000 },
  ),
});

/** Watching keys. */
const watch = z.strictObject({
  max_watchers: integer("Watches at once; one more is refused (2008).", {
    default: 1000,
    min: 1,
    max: 100_000,
  }),
  history_size: size(
    "Memory for recent changes of watched tenants. A watcher that falls further behind is told of a gap; so is one that comes back later than that.",
    { default: "32MiB", min: "64KiB", max: "16GiB" },
  ),
  linger: duration(
    "How long changes of a tenant are kept after its last watcher left, for it to come back.",
    { default: "5m", min: "0s", max: "24h" },
  ),
});

/** Writes that clients want applied once. */
const idempotency = z.strictObject({
  max_writes: integer(
    "Writes with an idempotency key that are remembered of each tenant; a batch counts as its items. More: clients may come back later, and about 200 bytes on the disk for each.",
    { default: 100_000, min: 1, max: 100_000_000 },
  ),
  max_age: duration(
    "How long such a write is remembered. After it, or when max_writes came later, the same write is applied anew.",
    { default: "24h", min: "1s", max: "365d" },
  ),
});

/** Figures for Prometheus. */
const metrics = z.strictObject({
  enabled: flag("Whether GET /metrics answers.", true),
});

/** Which operations are told of as slow. */
const slowOperations = z.strictObject({
  threshold: duration(
    "An operation that takes as long as this is logged, with a hash in place of its key, 20 lines in ten seconds at most. 0: none is. `pairdb slow` knows the slowest whatever this is.",
    { default: "100ms", min: "0ms", max: "1h" },
  ),
});

/** What the node says about itself, on standard error. */
const logging = z.strictObject({
  level: choice(
    "The least grave events that are logged. At debug every call is one. Keys and values never are.",
    [
      "debug",
      "info",
      "warn",
      "error",
    ],
    "info",
  ),
  format: choice("One JSON object a line, or text for people.", ["json", "console"], "json"),
});

/** The sections, in the order in which they are printed. */
export const SECTIONS = {
  server: { title: "Who this node is and where it listens", schema: server },
  auth: { title: "Who may call", schema: auth },
  tls: { title: "Encryption on the wire", schema: tls },
  peer: { title: "Other nodes, to which data is moved", schema: peer },
  storage: { title: "Where data lives", schema: storage },
  memory: { title: "Memory as a whole", schema: memory },
  disk: { title: "What a filling disk takes", schema: disk },
  commit_log: { title: "The write-ahead log", schema: commitLog },
  mem_table: { title: "Memory for writes", schema: memTable },
  sstable: {
    title: "Tables on disk; a change holds for tables written from then on",
    schema: sstable,
  },
  cache: { title: "Memory for reads", schema: cache },
  shared_cache: { title: "A shared cache behind that: Redis or Memcached", schema: sharedCache },
  compaction: { title: "Merging tables in the background", schema: compaction },
  snapshot: { title: "Snapshots by a schedule", schema: snapshot },
  scrub: { title: "Verifying what is on disk in the background", schema: scrub },
  background: { title: "Work in the background as a whole", schema: background },
  tenant: { title: "Tenants", schema: tenant },
  hot_keys: { title: "Keys that everybody wants", schema: hotKeys },
  watch: { title: "Watching keys", schema: watch },
  idempotency: { title: "Writes that clients want applied once", schema: idempotency },
  metrics: { title: "Figures for Prometheus", schema: metrics },
  slow_operations: { title: "Slow operations", schema: slowOperations },
  encryption: { title: "Encryption at rest", schema: encryption },
  logging: { title: "What the node says about itself, on standard error", schema: logging },
} as const;

/** The whole configuration. */
export const configSchema = z.strictObject({
  server: server.prefault({}),
  auth: auth.prefault({}),
  tls: tls.prefault({}),
  peer: peer.prefault({}),
  storage: storage.prefault({}),
  memory: memory.prefault({}),
  disk: disk.prefault({}),
  commit_log: commitLog.prefault({}),
  encryption: encryption.prefault({}),
  mem_table: memTable.prefault({}),
  sstable: sstable.prefault({}),
  cache: cache.prefault({}),
  shared_cache: sharedCache.prefault({}),
  compaction: compaction.prefault({}),
  snapshot: snapshot.prefault({}),
  scrub: scrub.prefault({}),
  background: background.prefault({}),
  tenant: tenant.prefault({}),
  hot_keys: hotKeys.prefault({}),
  watch: watch.prefault({}),
  idempotency: idempotency.prefault({}),
  metrics: metrics.prefault({}),
  slow_operations: slowOperations.prefault({}),
  logging: logging.prefault({}),
}).superRefine(({ auth, server, tls }, context) => {
  const issue = (path: [string, string], message: string) =>
    context.addIssue({ code: "custom", path, message });
  if (auth.mode.endsWith("certificate") && tls.client_auth === "none") {
    issue(["auth", "mode"], `${auth.mode} needs tls.client_auth to be request or require`);
  }
  if (auth.mode !== "local") return;
  const exposed = (host: string) =>
    `${host} lets other machines in, and nobody is asked who they are: ` +
    "set auth.mode to token, or to none if that is meant";
  if (!isLoopback(server.host)) issue(["server", "host"], exposed(server.host));
  const tlsHost = hostAndPort(tls.listen)?.host;
  if (tlsHost !== undefined && !isLoopback(tlsHost)) issue(["tls", "listen"], exposed(tlsHost));
});

/** An address as tls.listen has it; undefined when it is empty. */
export function hostAndPort(text: string): { host: string; port: number } | undefined {
  const parts = LISTEN.exec(text);
  return parts === null ? undefined : { host: parts[1] ?? parts[2], port: Number(parts[3]) };
}

/** Every option, checked; durations in ms, sizes in bytes. */
export type Config = z.output<typeof configSchema>;

/** A second name for an option, from the design documents. */
export interface Alias {
  readonly option: string;
  readonly description: string;
  /** What the aliased option is set to, by the text of the alias's value. */
  readonly values: Readonly<Record<string, string>>;
}

/** Second names, by path. */
export const ALIASES: Readonly<Record<string, Alias>> = {
  "commit_log.sync_writes": {
    option: "commit_log.sync_mode",
    description: "true means always, false means batch.",
    values: { true: "always", false: "batch" },
  },
};

/** Options of the design documents that this version does not have, and what stands in for them. */
export const NOT_YET: Readonly<Record<string, string>> = {
  "server.seeds": "this version runs single nodes, not clusters",
  "gossip": "this version runs single nodes, not clusters",
  "storage.commit_log_dir": "the log is in the wal folder of storage.data_dir",
  "storage.sstable_dir": "tables are in the tenants folder of storage.data_dir",
  "commit_log.buffer_size": "the log's buffer grows with the group of writes",
  "mem_table.flush_threshold": "memtables are flushed at mem_table.max_size",
  "sstable.l1_size": "sizes follow from sstable.l0_size and sstable.level_multiplier",
  "sstable.l2_size": "sizes follow from sstable.l0_size and sstable.level_multiplier",
  "sstable.index_interval": "the index has one entry for each block; see sstable.block_size",
  "metrics.port": "metrics are at /metrics on server.port",
  "metrics.path": "metrics are at /metrics on server.port",
};
