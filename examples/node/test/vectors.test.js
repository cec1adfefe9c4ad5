/** The vectors of the specification, docs/vectors: the same files that Python is tested with. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { messagesOf, toolsOf } from '../src/bodies.js';
import { findTakers, needsOf } from '../src/eligibility.js';
import { EarlyScorer } from '../src/early.js';
import { checkedPolicy } from '../src/fields.js';
import { Graph } from '../src/graph.js';
import { readNumbers } from '../src/numbers.js';
import { Router } from '../src/router.js';
import { Scorer } from '../src/scorer.js';
import { secondView, textView } from '../src/text.js';
import { RequestEncoder } from '../src/tokens.js';
import { LearnedView } from '../src/views/boilerplate.js';

const REPOSITORY = new URL('../../../', import.meta.url);
const read = (path) => readFileSync(new URL(path, REPOSITORY), 'utf8');
const vectors = (name) => read(`docs/vectors/${name}.jsonl`).split('\n').filter(Boolean).map((line) => JSON.parse(line));
const POLICY = JSON.parse(read('docs/vectors/policy.json'));
const TOKENIZER = Buffer.from(read('models/static-minilm-256/tokenizer.json'));

/** A graph that answers every request with the same float32 outputs; null is not a number. */
function fixedGraph(values) {
  const outputs = Object.entries(values).map(([name, value]) => [name, { data: Float32Array.of(value ?? NaN) }]);
  return new Graph({ run: async () => Object.fromEntries(outputs) });
}

function routerOf({ max_chars = 8192, max_tokens = 512, task_ids = {} } = {}, policy = POLICY, outputs = { difficulty_score: 0.5 }, early = null) {
  const encoder = new RequestEncoder({ max_chars, max_tokens, task_ids }, TOKENIZER);
  return new Router({ policy: checkedPolicy(policy), version: 'docs-1', encoder, scorer: new Scorer(fixedGraph(outputs)), early });
}

for (const { case: name, messages, max_chars: maxChars, ...expected } of vectors('text-view-1')) {
  test(`text view: ${name}`, () => {
    if (expected.text === null) return assert.throws(() => textView(messages, maxChars), { name: 'ScoringError' });
    const { text, totalChars, cut } = textView(messages, maxChars);
    assert.deepEqual({ text, total_chars: totalChars, cut }, expected);
  });
}

for (const { case: name, messages, max_chars: maxChars, view, ...expected } of vectors('text-view-2')) {
  test(`text view 2: ${name}`, () => {
    const { text, totalChars, cut, masked } = secondView(messages, maxChars, view ? LearnedView.parse(view) : undefined);
    assert.deepEqual({ text, total_chars: totalChars, cut, masked: Object.fromEntries(masked) }, expected);
  });
}

for (const { case: name, messages, task, text, ...vector } of vectors('requests')) {
  test(`request: ${name}`, async () => {
    const { decision, ids } = await routerOf(vector).consider(messages, { task, eligible: false });
    const { tokens, tokens_source, truncated } = decision;
    const { input_ids, ...expected } = { max_chars: vector.max_chars, ...vector };
    assert.equal(textView(messages, vector.max_chars).text, text);
    assert.deepEqual(ids, input_ids);
    assert.deepEqual({ tokens, tokens_source, truncated }, pick(expected, ['tokens', 'tokens_source', 'truncated']));
  });
}

for (const { case: name, task, tokens, policy = {}, without = [], held = null, ...vector } of vectors('rule')) {
  test(`rule: ${name}`, async () => {
    const form = Object.fromEntries(Object.entries({ ...POLICY, ...policy }).filter(([field]) => !without.includes(field)));
    const outputs = pick(vector, ['difficulty_score', 'familiarity']);
    const decision = await routerOf({}, form, outputs).decide('one two three', { task, tokens, held });
    const fields = ['route', 'reason', 'threshold', 'fallback'];
    assert.deepEqual(pick(decision, fields), pick(vector, fields));
  });
}

for (const { case: name, body, ...expected } of vectors('bodies')) {
  test(`body: ${name}`, () => assert.deepEqual({ messages: messagesOf(body), tools: toolsOf(body) }, expected));
}

for (const { case: name, messages, tools, numbers: expected } of vectors('numbers')) {
  test(`numbers: ${name}`, () => {
    const numbers = readNumbers(messages, tools);
    assert.deepEqual(numbers && [...numbers], expected);
  });
}

for (const { case: name, policy, informed, early_score: score, route, reason } of vectors('early-exit')) {
  test(`early exit: ${name}`, async () => {
    const early = new EarlyScorer(fixedGraph({ early_score: score }));
    const router = routerOf({ task_ids: { known: 7 } }, { ...POLICY, ...policy }, { difficulty_score: 0.5 }, early);
    const decision = await router.decide('one two three', { task: informed ? 'known' : null });
    const left = decision.scored_by === 'early';
    assert.deepEqual([left ? decision.route : null, left ? decision.reason : null], [route, reason]);
    assert.equal(decision.difficulty_score, left ? Math.fround(score) : 0.5);
  });
}

for (const { case: name, eligibility, body, given, counted, needs, can_take, ineligible, route, reason } of vectors('eligibility')) {
  test(`eligibility: ${name}`, async () => {
    assert.deepEqual(needsOf(body), needs);
    const policy = { ...POLICY, eligibility };
    assert.deepEqual(findTakers(checkedPolicy(policy).eligibility, needs, { given, counted }), { can_take, ineligible });
    if (counted !== null) return;
    const router = routerOf({}, policy);
    const decision = await router.decide(body.messages ?? body.input ?? [], { tokens: given, tools: body.tools, needs: needsOf(body) });
    assert.deepEqual(pick(decision, ['route', 'reason', 'can_take', 'ineligible']), { route, reason, can_take, ineligible });
    assert.equal(decision.fallback === null || can_take === 'both', true);
    assert.equal(router.untaken, can_take === 'neither' ? 1 : 0);
  });
}

function pick(form, names) {
  return Object.fromEntries(names.filter((name) => name in form).map((name) => [name, form[name]]));
}
