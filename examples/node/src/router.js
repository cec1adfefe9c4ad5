/** One decision a request, by the bundle's policy. Whatever a request holds, there is a decision. */
import { readBundle } from './bundle.js';
import { EarlyScorer, exitsOf, leaveEarly } from './early.js';
import { ScoringError } from './errors.js';
import { readNumbers } from './numbers.js';
import { afterScoring, beforeScoring, thresholdOf } from './rule.js';
import { Scorer } from './scorer.js';
import { RequestEncoder } from './tokens.js';

export class Router {
  /** Requests that went to the frontier model because they could not be scored; they cost frontier money, so watch it. */
  scorerErrors = 0;

  constructor({ policy, version, encoder, scorer, early }) {
    Object.assign(this, { policy, version, encoder, scorer, early, exits: early && exitsOf(policy) });
  }

  /**
   * Read and check a bundle and score once, so that the first request pays for no warm-up.
   * @param {string} folder
   * @throws {BundleError} if anything about the bundle is wrong
   */
  static async load(folder, options) {
    return Router.fromBundle(await readBundle(folder), options);
  }

  static async fromBundle(bundle, options) {
    const { manifest, policy, files } = bundle;
    const scorer = await Scorer.load(bundle, options);
    const early = await EarlyScorer.load(bundle, options);
    const encoder = new RequestEncoder(manifest, files.get('tokenizer.json'));
    const router = new Router({ policy, version: `${manifest.name}-${manifest.version}`, encoder, scorer, early });
    await router.consider('warm up', { early: false });
    if (early) await router.consider('warm up');
    return router;
  }

  /**
   * Return the decision for one request; its fields are those of docs/serving.md.
   * @param {string | object[]} messages OpenAI-style messages; a string is one user message
   * @param {{ task?: string | null, tokens?: number | null, tools?: object[] | null }} [known] task, token count and the tools of the
   *   request's body, where the caller knows them
   */
  async decide(messages, known = {}) {
    const { decision } = await this.consider(messages, known);
    if (decision.reason === 'scorer_error') this.scorerErrors += 1;
    return decision;
  }

  /**
   * Return the decision with the ids, which golden vectors name; null where the request cannot be scored.
   * With `early: false` the scorer decides whatever needs a score.
   */
  async consider(messages, { task = null, tokens = null, tools = null, early = true } = {}) {
    const look = { task: typeof task === 'string' ? task : null, tokens: null, source: null, truncated: false, early, tools };
    let error = null;
    try {
      look.verdict = await this.#verdict(look, messages, task, tokens);
    } catch (caught) {
      error = caught;
      look.verdict = { route: this.policy.on_error, reason: 'scorer_error' };
      look.outputs = null;
    }
    return { decision: this.#decision(look, error), ids: error ? null : (look.ids ?? this.encoder.encode(messages, task).ids) };
  }

  async #verdict(look, messages, task, tokens) {
    if (task !== null && typeof task !== 'string') throw new ScoringError('task must be a string or null');
    if (tokens !== null) {
      if (!Number.isInteger(tokens) || tokens < 0) throw new ScoringError('tokens must be an integer of at least 0');
      Object.assign(look, { tokens, source: 'request' });
      const fixed = beforeScoring(this.policy, task, tokens);
      if (fixed) return fixed; // the text is not even looked at
    }
    const encoded = this.encoder.encode(messages, task);
    Object.assign(look, { ids: encoded.ids, informed: encoded.informed, truncated: encoded.truncated });
    if (tokens === null) {
      Object.assign(look, { tokens: encoded.tokens, source: encoded.source });
      const fixed = beforeScoring(this.policy, task, encoded.tokens);
      if (fixed) return fixed;
    }
    const left = look.early && this.exits ? await this.#early(look) : null;
    if (left) return left;
    const numbers = this.scorer.readsNumbers ? readNumbers(messages, look.tools) : null;
    look.outputs = await this.scorer.score(look.ids, numbers);
    return afterScoring(this.policy, task, look.outputs);
  }

  /** Return the verdict of the small graph; null where the scorer has to be asked, also because that graph failed. */
  async #early(look) {
    const score = await this.early.score(look.ids).catch(() => NaN);
    const verdict = leaveEarly(this.exits, score, look.informed);
    if (verdict) look.earlyScore = score;
    return verdict;
  }

  #decision({ task, tokens, source, truncated, verdict, outputs, earlyScore }, error) {
    const cheap = verdict.route === 'cheap';
    const scoredEarly = earlyScore === undefined ? null : 'early';
    return {
      route: verdict.route,
      model: cheap ? this.policy.cheap_model : this.policy.frontier_model,
      reason: verdict.reason,
      difficulty_score: outputs?.difficulty_score ?? earlyScore ?? null,
      p_cheap_fails: outputs?.p_cheap_fails ?? null,
      p_frontier_fails: outputs?.p_frontier_fails ?? null,
      familiarity: outputs?.familiarity ?? null,
      threshold: thresholdOf(this.policy, task),
      fallback: cheap && this.policy.fallback.on_validation_failure ? this.policy.frontier_model : null,
      task,
      tokens,
      tokens_source: source,
      truncated,
      bundle_version: this.version,
      scored_by: outputs ? 'scorer' : scoredEarly,
      error: error && error.message,
    };
  }
}
