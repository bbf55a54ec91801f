/**
 * Hot keys (features B12): `heavy_hitters.ts` finds them, `guard.ts` keeps them to their limits.
 * @module
 */
export { DEFAULT_HOT_KEY_LIMITS, type HotKeyLimits, HotKeys } from "./guard.ts";
export { HOT_KEY_WINDOW_MS } from "./heavy_hitters.ts";
