/**
 * The one ambient thing in the client: the platform's `fetch`.
 *
 * Everything else in PairDB takes the world from a Runtime. The client also runs in browsers and in
 * other people's Node.js and Deno programs, where nobody has a Runtime to hand in and everybody has
 * `fetch`; so it is the default here, and an option (`ConnectOptions.fetch`) for whoever brings
 * another, such as a test.
 * @module
 */

/** What the client needs of `fetch`. */
export type Fetch = typeof globalThis.fetch;

/** The platform's own `fetch`, looked up at the call so that a program may still replace it. */
export const platformFetch: Fetch = (input, init) => globalThis.fetch(input, init);
