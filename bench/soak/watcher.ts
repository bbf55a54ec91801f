/**
 * A watcher of one tenant's single keys, which goes on by its token after interruptions and kills: each write
 * that was acknowledged comes, in order for each key, or there is a gap.
 * @module
 */
import { type WatchEvent, WatchEventType } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { failureOf, type Link } from "./node.ts";
import { latestOf, sleep, type TenantWork, type World } from "./work.ts";

/** An event that comes later than this after the write was acknowledged is missing. */
const LATE_MS = 30_000;
/** How long a stream is followed before it is left and resumed, ms: at least this, at most twice. */
const FOLLOW_MS = 15_000;

/** What became of the watches of all tenants. */
export interface WatchCounts {
  events: number;
  /** Streams that went on by a token without a gap. */
  resumed: number;
  /** Gaps after a restart of the node, as there must be. */
  gaps: number;
  /** Gaps for other reasons than a restart: history that was too small for what came. */
  others: number;
}

/** Follows one tenant. */
export class Watcher {
  #token = "";
  /** The life that the token is of. */
  #tokenLife = 0;
  #stop = new AbortController();

  constructor(
    private readonly work: TenantWork,
    private readonly world: World,
    private readonly counts: WatchCounts,
  ) {
    work.onApplied = (cell, version, era) => {
      // Began before the watch did, or before its last gap.
      if (era === 0 || era !== work.era || cell.keys.length > 1) return;
      if (cell.seen < version) cell.unseen.push({ version, sinceMs: performance.now() });
    };
  }

  /** Follows until the world is over. */
  async run(): Promise<void> {
    while (!this.world.isOver) {
      const link = await this.world.node.up();
      if (this.world.isOver) return;
      await this.#follow(link);
    }
  }

  /** Leaves the stream that is followed. */
  stop(): void {
    this.#stop.abort();
  }

  /** Names events that have not come. */
  checkLate(): void {
    const now = performance.now();
    if (now < this.world.counts.excusedUntil || this.world.node.now === undefined) return;
    for (const cell of this.work.singles) {
      const first = cell.unseen[0];
      if (first === undefined || now - first.sinceMs < LATE_MS) continue;
      cell.unseen = [];
      this.#violation(
        "watch: an event did not come",
        cell.keys[0],
        `version ${first.version}`,
        "nothing",
      );
    }
  }

  async #follow(link: Link): Promise<void> {
    const stop = this.#stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), FOLLOW_MS * (1 + this.world.random()));
    const resumes = this.#token !== "";
    let isFirst = true;
    // A change may come again after a resume, so the order is that of one stream.
    const ofStream = new Map<string, bigint>();
    try {
      const request = {
        tenantId: this.work.name,
        prefix: "c/",
        resumeToken: this.#token,
        progressMs: 1000n,
      };
      for await (const { events } of link.keys.watch(request, { signal: stop.signal })) {
        for (const event of events) {
          if (isFirst) this.#begins(link, event, resumes);
          isFirst = false;
          this.#take(event, link.life, ofStream);
        }
      }
    } catch (error) {
      const failure = failureOf(error);
      if (stop.signal.aborted || link.isOver) return;
      this.world.counts.fail(this.work.name, failure);
      // Its tenant may be above its rate.
      if (failure.code !== 2008) this.#violation("watch: ended", "", "no end", failure.message);
      await sleep(failure.retryMs || 200);
    } finally {
      clearTimeout(timer);
      stop.abort();
    }
  }

  /** The first event says whether the watch goes on where the last was. */
  #begins(link: Link, event: WatchEvent, resumes: boolean): void {
    const isGap = event.type === WatchEventType.GAP;
    if (!resumes) return;
    if (this.#tokenLife !== link.life) {
      if (isGap && event.reason === "unknown") this.counts.gaps++;
      else {this.#violation(
          "watch: no gap after a restart",
          event.key,
          "GAP unknown",
          WatchEventType[event.type],
        );}
    } else if (!isGap) this.counts.resumed++;
  }

  #take(event: WatchEvent, life: number, ofStream: Map<string, bigint>): void {
    if (event.resumeToken !== "") {
      this.#token = event.resumeToken;
      this.#tokenLife = life;
    }
    switch (event.type) {
      case WatchEventType.PROGRESS:
        // All that begins now comes.
        if (this.work.era === 0) this.work.era = 1;
        return;
      case WatchEventType.GAP:
        if (event.reason !== "unknown") this.counts.others++;
        this.work.era++;
        for (const cell of this.work.singles) cell.unseen = [];
        return;
      default:
        this.counts.events++;
        this.#change(event, ofStream);
    }
  }

  #change({ key, vectorClock }: WatchEvent, ofStream: Map<string, bigint>): void {
    const cell = this.work.find(key);
    const version = latestOf(vectorClock);
    if (cell === undefined) {
      return this.#violation(
        "watch: a key that nobody wrote",
        key,
        "another key",
        `version ${version}`,
      );
    }
    const before = ofStream.get(key) ?? 0n;
    if (version < before) {
      this.#violation("watch: out of order", key, `after version ${before}`, `version ${version}`);
    }
    ofStream.set(key, version);
    if (version > cell.seen) cell.seen = version;
    while (cell.unseen.length > 0 && cell.unseen[0].version <= version) {
      const missed = cell.unseen.shift()!;
      if (missed.version < version) {
        this.#violation(
          "watch: an event was left out",
          key,
          `version ${missed.version}`,
          `version ${version}`,
        );
      }
    }
  }

  #violation(kind: string, key: string, expected: string, found: string): void {
    const { life } = this.world.node;
    this.world.violations.add({ kind, tenant: this.work.name, key, expected, found, life });
  }
}
