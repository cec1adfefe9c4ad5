/** Golden vectors: requests whose ids, scores and decisions every runtime must reproduce (docs/bundle.md, "golden.jsonl"). */
import { readBundle } from './bundle.js';
import { BundleError } from './errors.js';
import { readNumbers } from './numbers.js';
import { Router } from './router.js';

const SCORES = ['difficulty_score', 'p_cheap_fails', 'p_frontier_fails', 'familiarity', 'early_score'];
const DECIDED = ['route', 'model', 'reason', 'fallback'];
const ANSWERS = 'golden_answers.jsonl';
const ANSWER_SCORES = ['answer_score', 'p_answer_fails'];
const FACT_TOLERANCE = 1e-5;
const COUNTED = ['threshold', 'tokens', 'tokens_source', 'truncated'];

/** Check a bundle's files and replay its golden vectors; return their number and what differs, one sentence each. */
export async function verify(folder) {
  const bundle = await readBundle(folder);
  const router = await Router.fromBundle(bundle);
  const rows = goldenRows(bundle.files.get('golden.jsonl'));
  const differences = [];
  for (const row of rows) differences.push(...(await compare(router, row, bundle.manifest.score_tolerance)));
  const answers = bundle.files.has(ANSWERS) ? linesOf(bundle.files.get(ANSWERS), ANSWERS) : [];
  if (answers.length > 0 && !router.answers) throw new BundleError(`a bundle with ${ANSWERS} must have a check of answers. Ship the bundle again.`);
  for (const row of answers) differences.push(...(await compareAnswer(router, row)));
  return { bundle: router.version, files: bundle.files.size, golden: rows.length + answers.length, differences };
}

function goldenRows(bytes) {
  const rows = linesOf(bytes, 'golden.jsonl');
  if (rows.length === 0) throw new BundleError('golden.jsonl must hold golden vectors: got none. Ship the bundle again.');
  return rows;
}

function linesOf(bytes, name) {
  const lines = bytes.toString('utf8').split('\n').filter(Boolean);
  try {
    return lines.map((line) => JSON.parse(line));
  } catch (error) {
    throw new BundleError(`${name} must be JSON lines (${error.message}). Ship the bundle again.`);
  }
}

async function compareAnswer(router, expected) {
  const { verdict, facts, answerIds } = await router.considerAnswer(expected.body, expected.answer, expected.task ?? null);
  const isRead = verdict.answer_score !== null;
  const tolerance = router.answers.facts.score_tolerance ?? 1e-4;
  const differing = ANSWER_SCORES.filter((name) => !close(verdict[name], expected[name], tolerance));
  if (JSON.stringify(isRead ? answerIds : null) !== JSON.stringify(expected.answer_ids)) differing.push('answer_ids');
  const found = isRead ? [...facts] : [];
  const wanted = expected.facts ?? [];
  if (found.length !== wanted.length || found.some((value, place) => !near(value, wanted[place]))) differing.push('facts');
  return differing.map((name) => `${expected.id}: ${name} is another one than expected`);
}

function near(found, expected) {
  if (expected === null || Number.isNaN(found)) return expected === null && Number.isNaN(found);
  return Math.abs(found - expected) <= FACT_TOLERANCE * Math.max(1, Math.abs(expected));
}

async function compare(router, expected, tolerance) {
  const { decision, ids } = await router.consider(expected.messages, { task: expected.task, tokens: expected.given_tokens, tools: expected.tools, held: expected.held, early: false, eligible: false });
  const early = router.early && decision.difficulty_score !== null ? await router.early.score(ids) : null;
  const numbers = ids && router.scorer.readsNumbers ? readNumbers(expected.messages, expected.tools, router.encoder.questionOf(expected.messages)) : null;
  const found = { ...decision, input_ids: ids, features: numbers && [...numbers], early_score: early };
  const exact = ['input_ids', ...('features' in expected ? ['features'] : []), ...COUNTED, ...(atTheEdge(expected, tolerance, router.policy.stick) ? [] : DECIDED)];
  const differing = [
    ...exact.filter((name) => JSON.stringify(found[name]) !== JSON.stringify(expected[name])),
    ...SCORES.filter((name) => !close(found[name], expected[name] ?? null, tolerance)),
  ];
  return differing.map((name) => `${expected.id}: ${name} is ${show(found[name])}, expected ${show(expected[name] ?? null)}`);
}

/** Whether the score is so near the threshold, or in a session so near a margin's end, that rounding may decide. */
function atTheEdge({ difficulty_score: score, threshold, held }, tolerance, stick) {
  const edges = stick && held ? [threshold, threshold + stick.margin, threshold - (stick.margin_back ?? stick.margin)] : [threshold];
  return score !== null && edges.some((edge) => Math.abs(score - edge) <= tolerance);
}

function close(found, expected, tolerance) {
  if (found === null || expected === null) return found === expected;
  return Math.abs(found - expected) <= tolerance;
}

const show = (value) => JSON.stringify(value).slice(0, 80);
