/**
 * The version of the program, from its manifest.
 * @module
 */
import manifest from "../../deno.json" with { type: "json" };

/** As in `0.1.0`. */
export const VERSION: string = manifest.version;
