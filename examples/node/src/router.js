/** One decision a request, by the bundle's policy. Whatever a request holds, there is a decision. */
import { readBundle } from './bundle.js';
import { AnswerChecker } from './check.js';
import { findTakers, joinedNeeds } from './eligibility.js';
import { EarlyScorer, exitsOf, leaveEarly } from './early.js';
import { BundleError, ScoringError } from './errors.js';
import { readNumbers } from './numbers.js';
import { afterScoring, beforeScoring, thresholdOf } from './rule.js';
import { Scorer } from './scorer.js';
import { heldSession, hold } from './stick.js';
import { RequestEncoder } from './tokens.js';

const BOTH = { can_take: 'both', ineligible: [] };
const UNFAMILIAR = { route: 'frontier', reason: 'unfamiliar' };

export class Router {
  /** Requests that went to the frontier model because they could not be scored; they cost frontier money, so watch it. */
  scorerErrors = 0;

  /** Requests that neither model can take. */
  untaken = 0;

  constructor({ policy, version, encoder, scorer, early, answers = null }) {
    Object.assign(this, { policy, version, encoder, scorer, early, answers, exits: early && exitsOf(policy), unchecked: uncheckedOf(policy) });
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
    const encoder = new RequestEncoder(manifest, files.get('tokenizer.json'), bundle.learnedView ?? undefined);
    const version = `${manifest.name}-${manifest.version}`;
    const answers = await AnswerChecker.load(bundle, { ...options, encoder, version });
    const router = new Router({ policy, version, encoder, scorer, early, answers });
    await router.consider('warm up', { early: false });
    if (early) await router.consider('warm up');
    if (answers) await router.#warmUp();
    return router;
  }

  async #warmUp() {
    const { verdict } = await this.considerAnswer({ messages: 'warm up' }, 'warm up');
    if (verdict.answer_score === null) throw new BundleError(`answer.onnx must score a plain answer: got ${verdict.error}. Ship the bundle again.`);
  }

  /**
   * Return the decision for one request; its fields are those of docs/serving.md.
   * @param {string | object[]} messages OpenAI-style messages; a string is one user message
   * @param {{ task?: string | null, tokens?: number | null, tools?: object[] | null, checked?: boolean, held?: object | null, needs?: object | null }} [known] task, token count and the
   *   tools of the request's body, where the caller knows them; `checked`: whether the answer will be checked before it is sent;
   *   `held`: the session that the request goes on with, `{ route, in_loop, cached_tokens, idle_s, switch_cost_usd }`;
   *   `needs`: of the whole body, `needsOf(body)`, or what the caller knows beside, such as `{ residency: ['eu'] }`
   */
  async decide(messages, known = {}) {
    const { decision } = await this.consider(messages, known);
    if (decision.reason === 'scorer_error') this.scorerErrors += 1;
    if (decision.can_take === 'neither') this.untaken += 1;
    return decision;
  }

  /**
   * Return whether the frontier model is to be asked too, given the cheap model's answer; fields as in docs/serving.md.
   * @param {{ messages: string | object[], tools?: object[] }} request as in the body of a chat completion request
   * @param {string | object} answer its text, an assistant message, or a chat completion
   * @param {{ task?: string | null, decision?: object | null }} [known] `decision`: what was decided, which saves scoring the request again
   */
  async check(request, answer, { task = null, decision = null } = {}) {
    if (!this.answers) return { escalate: false, reason: 'no_check', answer_score: null, p_answer_fails: null, threshold: null, bundle_version: this.version, error: null };
    return this.answers.check(request ?? {}, answer, this.#known(request, task ?? decision?.task ?? null, decision));
  }

  /** Return the verdict without counting it, with the answer's ids and facts. */
  async considerAnswer(request, answer, task = null) {
    return this.answers.consider(request, answer, this.#known(request, task, null));
  }

  #known(request, task, decision) {
    const isOurs = decision?.scored_by === 'scorer' && decision.bundle_version === this.version;
    const numbers = () => (this.scorer.readsNumbers ? readNumbers(request.messages, request.tools ?? null, this.encoder.questionOf(request.messages)) : null);
    return { task, score: async (ids) => (isOurs ? decision : this.scorer.score(ids, numbers())) };
  }

  /**
   * Return the decision with the ids, which golden vectors name; null where the request cannot be scored.
   * With `early: false` the scorer decides whatever needs a score.
   */
  async consider(messages, { task = null, tokens = null, tools = null, checked = true, held = null, needs = null, early = true, eligible = true } = {}) {
    const policy = checked && !this.answers?.isStale ? this.policy : this.unchecked;
    const look = { policy, task: typeof task === 'string' ? task : null, tokens: null, source: null, truncated: false, early, tools, held: heldSession(policy.stick, held), taking: BOTH, needs: null };
    let error = null;
    try {
      if (eligible) {
        // First of all: whatever else is wrong, it goes to a model that can take it.
        look.needs = joinedNeeds(messages, tools, needs);
        this.#findTakers(look, { given: Number.isInteger(tokens) && tokens >= 0 ? tokens : null });
      }
      look.verdict ??= await this.#verdict(look, messages, task, tokens);
    } catch (caught) {
      error = caught;
      look.verdict = { route: this.policy.on_error, reason: 'scorer_error' };
      look.outputs = null;
    }
    return { decision: this.#decision(look, error), ids: look.ids ?? (error || look.taking !== BOTH ? null : this.#idsOf(messages, task)) };
  }

  /** The ids of a request that was decided without them; null where it has none. */
  #idsOf(messages, task) {
    try {
      return this.encoder.encode(messages, task).ids;
    } catch {
      return null;
    }
  }

  async #verdict(look, messages, task, tokens) {
    if (task !== null && typeof task !== 'string') throw new ScoringError('task must be a string or null');
    if (tokens !== null) {
      if (!Number.isInteger(tokens) || tokens < 0) throw new ScoringError('tokens must be an integer of at least 0');
      Object.assign(look, { tokens, source: 'request' });
      const fixed = this.#fixed(look, task, tokens);
      if (fixed) return fixed; // the text is not even looked at
    }
    const encoded = this.#encode(look, messages, task);
    if (encoded === null) return UNFAMILIAR;
    Object.assign(look, { ids: encoded.ids, informed: encoded.informed, truncated: encoded.truncated, maskedShare: encoded.maskedShare });
    if (tokens === null) {
      Object.assign(look, { tokens: encoded.tokens, source: encoded.source });
      if (look.needs) this.#findTakers(look, { counted: encoded.tokens });
      const fixed = look.verdict ?? this.#fixed(look, task, encoded.tokens);
      if (fixed) return fixed;
    }
    const left = look.early && this.exits && look.policy === this.policy ? await this.#early(look) : null;
    if (left) return left;
    const numbers = this.scorer.readsNumbers ? readNumbers(messages, look.tools, encoded.question) : null;
    look.outputs = await this.scorer.score(look.ids, numbers);
    const alone = afterScoring(look.policy, task, look.outputs);
    return hold(look.policy.stick, look.held, alone, look.outputs.difficulty_score, thresholdOf(look.policy, task));
  }

  /** Decide a request that not both models can take. */
  #findTakers(look, tokens) {
    const taking = findTakers(look.policy.eligibility, look.needs, tokens);
    if (taking.can_take === 'both') return;
    const given = tokens.given ?? null;
    if (given !== null) Object.assign(look, { tokens: given, source: 'request' });
    const route = taking.can_take === 'neither' ? look.policy.on_error : taking.can_take;
    Object.assign(look, { taking, verdict: { route, reason: 'ineligible' } });
  }

  /** The verdict of the other rules that need no score; media with hardly any text are never scored. */
  #fixed(look, task, tokens) {
    return beforeScoring(look.policy, task, tokens) ?? (look.needs?.ask_in_media ? UNFAMILIAR : null);
  }

  /** The ids of a request; null where its ask lies in media and there is no text at all. */
  #encode(look, messages, task) {
    try {
      return this.encoder.encode(messages, task);
    } catch (error) {
      if (error instanceof ScoringError && look.needs?.ask_in_media) return null;
      throw error;
    }
  }

  /** Return the verdict of the small graph; null where the scorer has to be asked, also because that graph failed. */
  async #early(look) {
    const score = await this.early.score(look.ids).catch(() => NaN);
    const verdict = leaveEarly(this.exits, score, look.informed);
    if (verdict && look.held && verdict.route !== look.held.route) return null; // by which margin it crosses, the scorer alone can say
    if (verdict) look.earlyScore = score;
    return verdict;
  }

  #decision({ policy, task, tokens, source, truncated, maskedShare = 0, held, taking, verdict, outputs, earlyScore }, error) {
    const cheap = verdict.route === 'cheap';
    const scoredEarly = earlyScore === undefined ? null : 'early';
    return {
      route: verdict.route,
      model: cheap ? policy.cheap_model : policy.frontier_model,
      reason: verdict.reason,
      difficulty_score: outputs?.difficulty_score ?? earlyScore ?? null,
      p_cheap_fails: outputs?.p_cheap_fails ?? null,
      p_frontier_fails: outputs?.p_frontier_fails ?? null,
      familiarity: outputs?.familiarity ?? null,
      threshold: thresholdOf(policy, task),
      fallback: cheap && taking === BOTH && (policy.fallback.on_validation_failure || policy.answer !== null) ? policy.frontier_model : null,
      task,
      tokens,
      tokens_source: source,
      truncated,
      masked_share: maskedShare,
      bundle_version: this.version,
      scored_by: outputs ? 'scorer' : scoredEarly,
      held_on: held?.route ?? null,
      switch_cost_usd: held?.switch_cost_usd ?? null,
      ...taking,
      error: error && error.message,
    };
  }
}

/** The policy that counts where no check can: itself, where that needs no other one. */
function uncheckedOf(policy) {
  const threshold = policy.answer?.request_threshold ?? null;
  return threshold === null ? policy : { ...policy, threshold, task_thresholds: {}, answer: null };
}
