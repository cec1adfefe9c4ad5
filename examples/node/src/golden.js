/** Golden vectors: requests whose ids, scores and decisions every runtime must reproduce (docs/bundle.md, "golden.jsonl"). */
import { readBundle } from './bundle.js';
import { BundleError } from './errors.js';
import { readNumbers } from './numbers.js';
import { Router } from './router.js';

const SCORES = ['difficulty_score', 'p_cheap_fails', 'p_frontier_fails', 'familiarity', 'early_score'];
const DECIDED = ['route', 'model', 'reason', 'fallback'];
const COUNTED = ['threshold', 'tokens', 'tokens_source', 'truncated'];

/** Check a bundle's files and replay its golden vectors; return their number and what differs, one sentence each. */
export async function verify(folder) {
  const bundle = await readBundle(folder);
  const router = await Router.fromBundle(bundle);
  const rows = goldenRows(bundle.files.get('golden.jsonl'));
  const differences = [];
  for (const row of rows) differences.push(...(await compare(router, row, bundle.manifest.score_tolerance)));
  return { bundle: router.version, files: bundle.files.size, golden: rows.length, differences };
}

function goldenRows(bytes) {
  const lines = bytes.toString('utf8').split('\n').filter(Boolean);
  if (lines.length === 0) throw new BundleError('golden.jsonl must hold golden vectors: got none. Ship the bundle again.');
  try {
    return lines.map((line) => JSON.parse(line));
  } catch (error) {
    throw new BundleError(`golden.jsonl must be JSON lines (${error.message}). Ship the bundle again.`);
  }
}

async function compare(router, expected, tolerance) {
  const { decision, ids } = await router.consider(expected.messages, { task: expected.task, tokens: expected.given_tokens, tools: expected.tools, early: false });
  const early = router.early && decision.difficulty_score !== null ? await router.early.score(ids) : null;
  const numbers = ids && router.scorer.readsNumbers ? readNumbers(expected.messages, expected.tools) : null;
  const found = { ...decision, input_ids: ids, features: numbers && [...numbers], early_score: early };
  const exact = ['input_ids', ...('features' in expected ? ['features'] : []), ...COUNTED, ...(atTheEdge(expected, tolerance) ? [] : DECIDED)];
  const differing = [
    ...exact.filter((name) => JSON.stringify(found[name]) !== JSON.stringify(expected[name])),
    ...SCORES.filter((name) => !close(found[name], expected[name] ?? null, tolerance)),
  ];
  return differing.map((name) => `${expected.id}: ${name} is ${show(found[name])}, expected ${show(expected[name] ?? null)}`);
}

/** Whether the score is so near the threshold that rounding may decide. */
function atTheEdge({ difficulty_score: score, threshold }, tolerance) {
  return score !== null && Math.abs(score - threshold) <= tolerance;
}

function close(found, expected, tolerance) {
  if (found === null || expected === null) return found === expected;
  return Math.abs(found - expected) <= tolerance;
}

const show = (value) => JSON.stringify(value).slice(0, 80);
