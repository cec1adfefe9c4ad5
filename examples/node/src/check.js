/** The learned check of the cheap model's answer (docs/bundle.md, "The check of answers"). */
import { answerOf, asText } from './answers/answer.js';
import { askedOf } from './answers/asked.js';
import { FACTS, FACTS_VERSION, readFacts } from './answers/facts.js';
import { FactShift } from './answers/shift.js';
import { parseJson } from './bundle.js';
import { BundleError, ScoringError } from './errors.js';
import { firstOf, numbersOf, openSession, tokensOf } from './graph.js';
import { isObject } from './text.js';

const GRAPH = 'answer.onnx';
const FILE = 'answer.json';
const INPUTS = ['input_ids', 'attention_mask', 'answer_ids', 'answer_mask', 'features'];
const OUTPUTS = ['p_answer_fails', 'answer_score'];

export class AnswerChecker {
  /** Answers that were checked, escalated, and that could not be checked. */
  checked = 0;
  escalated = 0;
  unknown = 0;

  constructor({ session, facts, rule, version, encoder }) {
    Object.assign(this, { session, facts, rule, version, encoder, shift: new FactShift(facts.facts, facts.bands ?? [], rule?.stale_shift ?? null) });
  }

  /** Return null where the bundle has no check; one that is there has to fit, even where the policy leaves it alone. */
  static async load(bundle, { encoder, version, threads }) {
    if (!bundle.files.has(GRAPH)) return null;
    const facts = parseJson(bundle.files.get(FILE), FILE);
    if (!Array.isArray(facts?.facts)) throw new BundleError(`${FILE} must list facts. Ship the bundle again.`);
    if (facts.facts_version !== FACTS_VERSION || facts.facts.map(({ name }) => name).join() !== FACTS.join()) {
      throw new BundleError(`${FILE} has other facts than this reader computes. Upgrade the router, or train again.`);
    }
    const session = await openSession(bundle, GRAPH, INPUTS, OUTPUTS, threads);
    return new AnswerChecker({ session, facts, rule: bundle.policy.answer, version, encoder });
  }

  /** Whether the facts have moved so far that the check no longer counts. */
  get isStale() {
    return this.shift.isStale;
  }

  /**
   * Return the verdict on an answer and count it; its fields are those of docs/serving.md, without `moved`.
   * @param {object} request a chat completion request: `messages`, perhaps `tools`
   * @param {string | object} answer its text, an assistant message, or a chat completion
   * @param {{ task: string | null, score: (ids: number[]) => Promise<object> }} known the request's task, and what gives its probabilities
   */
  async check(request, answer, known) {
    const { verdict, facts, pCheapFails } = await this.consider(request, answer, known);
    if (facts) this.shift.add(facts, pCheapFails);
    this.checked += 1;
    this.escalated += verdict.escalate;
    this.unknown += verdict.error !== null;
    return verdict;
  }

  /** Return the verdict without counting it, and what was read. */
  async consider(request, answer, { task, score }) {
    let facts = null;
    let pCheapFails = NaN;
    try {
      const read = readAnswer(answer);
      const { messages, tools } = request;
      const { ids } = this.encoder.encode(messages, task);
      const answerIds = this.encoder.encodeText(asText(read));
      facts = readFacts(askedOf(messages, tools), read);
      const { p_cheap_fails: cheap, p_frontier_fails: frontier } = await score(ids);
      const features = Float32Array.from([...facts, cheap ?? NaN, frontier ?? NaN]);
      pCheapFails = features[facts.length];
      const found = await this.#run(ids, answerIds, features);
      return { verdict: this.#judge(found, null), facts, answerIds, pCheapFails };
    } catch (error) {
      return { verdict: this.#judge(null, error.message), facts, answerIds: null, pCheapFails };
    }
  }

  async #run(ids, answerIds, features) {
    const request = tokensOf(ids, 'input_ids', 'attention_mask');
    const inputs = { ...request, ...tokensOf(answerIds, 'answer_ids', 'answer_mask'), features: numbersOf(features) };
    const outputs = firstOf(await this.session.run(inputs));
    for (const name of OUTPUTS) {
      if (!(outputs[name] >= 0 && outputs[name] <= 1)) throw new ScoringError(`${name} must be in [0, 1]: got ${outputs[name]}`);
    }
    return outputs;
  }

  #judge(found, error) {
    const { rule } = this;
    const [reason, escalate] = this.#rule(found);
    return {
      escalate,
      reason,
      answer_score: found?.answer_score ?? null,
      p_answer_fails: found?.p_answer_fails ?? null,
      threshold: rule?.threshold ?? null,
      bundle_version: this.version,
      error,
    };
  }

  #rule(found) {
    if (this.rule === null) return ['no_check', false];
    if (this.isStale) return ['stale', false];
    if (found === null) return ['unknown', this.rule.on_unknown === 'escalate'];
    return found.answer_score > this.rule.threshold ? ['above_threshold', true] : ['within_threshold', false];
  }
}

function readAnswer(answer) {
  if (typeof answer === 'string') return answerOf({ choices: [{ message: { content: answer } }] });
  if (!isObject(answer)) throw new ScoringError('an answer must be a text or a message');
  return answerOf('choices' in answer ? answer : { choices: [{ message: answer }] });
}
