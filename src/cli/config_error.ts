/**
 * What is wrong with a configuration. A file of its own: every command knows the error, few load configurations.
 * @module
 */
import { PairError } from "../model/mod.ts";

/** A wrong configuration, wherever it was said: InvalidArgument (1000), and bad usage. */
export class ConfigError extends PairError {
  /** @param message  what is wrong, and where it stands */
  constructor(message: string) {
    super("InvalidArgument", message);
  }
}
