/**
 * TLS of one's own: another CA than the platform's, and a client certificate.
 *
 * `fetch` has no standard way to say either. Deno's takes a client made for the purpose; Node.js and
 * browsers take neither, and get an error that names the way out: a `fetch` of one's own.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Fetch } from "./platform.ts";
import type { TlsOptions } from "./types.ts";

/** What Deno has beyond the standard. */
interface DenoClient {
  createHttpClient?(options: { caCerts?: string[]; cert?: string; key?: string }): HttpClient;
}

interface HttpClient {
  close(): void;
}

/** A fetch with connections of its own. */
export interface OwnFetch {
  readonly fetch: Fetch;
  /** Closes the connections that are idle; calls that run are cut off. */
  close(): void;
}

/**
 * A fetch that uses certificates.
 * @param plain  does the fetching
 * @throws PairError InvalidArgument (1000) where the platform has no such thing, or they cannot be used
 */
export function fetchWith({ ca, cert, key }: TlsOptions, plain: Fetch): OwnFetch {
  const deno: DenoClient | undefined = globalThis.Deno;
  if (deno?.createHttpClient === undefined) {
    throw new PairError(
      "InvalidArgument",
      "Cannot use certificates: this platform's fetch takes none; bring a fetch that does",
    );
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new PairError(
      "InvalidArgument",
      "Cannot use the certificate without its key, or a key alone",
    );
  }
  let client: HttpClient;
  try {
    client = deno.createHttpClient({
      ...(ca === undefined ? {} : { caCerts: [ca] }),
      ...(cert === undefined ? {} : { cert, key }),
    });
  } catch (cause) {
    // The cause is for debuggers; its words may quote the key.
    throw new PairError("InvalidArgument", "Cannot use the certificates: they are not PEM", {}, {
      cause,
    });
  }
  const extra: object = { client };
  return {
    fetch: (input, init) => plain(input, { ...init, ...extra }),
    close: () => client.close(),
  };
}
