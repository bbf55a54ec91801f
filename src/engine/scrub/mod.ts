/**
 * The scrub room: `scrubber.ts` reads all files again and again, `pace.ts` says when, `verify.ts` verifies
 * one in a worker, `state.ts` keeps how far it is.
 * @module
 */
export { Scrubber, type ScrubOptions, type ScrubParts } from "./scrubber.ts";
export { loadScrub } from "./state.ts";
export { runScrubJob, type ScrubJob, type ScrubPosition, type ScrubTarget } from "./verify.ts";
