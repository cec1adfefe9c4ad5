/** Keeping the model of a session (docs/bundle.md, "Sessions"), as pure functions. */

const ROUTES = ['cheap', 'frontier'];
const STICK = { cheap: { route: 'cheap', reason: 'stick' }, frontier: { route: 'frontier', reason: 'stick' } };
const BY_SCORE = ['above_threshold', 'within_threshold'];

/** What a caller says of a session: `{ route, in_loop, cached_tokens, idle_s, switch_cost_usd }`; null where it says no route. */
export function readHeld(value) {
  if (typeof value !== 'object' || value === null || !ROUTES.includes(value.route)) return null;
  const amount = (given) => (typeof given === 'number' && given >= 0 && given < 1e300 ? given : null);
  return {
    route: value.route,
    in_loop: value.in_loop === true,
    cached_tokens: Number.isSafeInteger(value.cached_tokens) && value.cached_tokens >= 0 ? value.cached_tokens : null,
    idle_s: amount(value.idle_s),
    switch_cost_usd: amount(value.switch_cost_usd),
  };
}

/** The session of a request, where it is to keep its model as far as the margin reaches; else null. */
export function heldSession(stick, value) {
  const held = stick === null ? null : readHeld(value);
  if (held === null || (stick.within === 'loop' && !held.in_loop)) return null;
  const cold = stick.cold_after_minutes === null ? Infinity : stick.cold_after_minutes * 60;
  return held.idle_s === null || held.idle_s <= cold ? held : null;
}

/** The verdict on a request of a session, given the one on the request alone. */
export function hold(stick, held, ruling, score, threshold) {
  if (held === null || ruling.route === held.route || !BY_SCORE.includes(ruling.reason)) return ruling;
  const crosses = ruling.route === 'frontier' ? score > threshold + stick.margin : score <= threshold - (stick.margin_back ?? stick.margin);
  return crosses ? ruling : STICK[held.route];
}
