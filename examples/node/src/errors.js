/** A bundle that must not be served; the message names the file. */
export class BundleError extends Error {
  name = 'BundleError';
}

/** A request that cannot be scored; the router turns it into the frontier route. */
export class ScoringError extends Error {
  name = 'ScoringError';
}
