/** The router of the saved bundle: golden vectors, and requests that cannot be scored. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Router, needsOf, verify } from '../src/index.js';
import { Copy, SAVED } from './copy.js';

const CLI = fileURLToPath(new URL('../cli.js', import.meta.url));
let router;
before(async () => {
  router = await Router.load(SAVED);
});

test('every golden vector of the saved bundle is reproduced', async () => {
  assert.deepEqual(await verify(SAVED), { bundle: 'bundle-format-1', files: 6, golden: 58, differences: [] });
});

for (const [problem, field, value, shown] of [
  ['id', 'input_ids', [1, 2], /^plain: input_ids is \[0,0,0,0,0,0,0,0,0,0\], expected \[1,2\]$/],
  ['reason', 'reason', 'hard_task', /^plain: reason is "above_threshold", expected "hard_task"$/],
  ['score', 'p_cheap_fails', 2, /^plain: p_cheap_fails is 0\.60\d*, expected 2$/],
  ['score that is to be unknown', 'familiarity', 0.5, /^plain: familiarity is null, expected 0\.5$/],
  ['count', 'tokens', 99, /^plain: tokens is 10, expected 99$/],
]) {
  test(`another ${problem} than the golden vector's is found`, async () => {
    const copy = new Copy();
    const [first, ...rest] = readFileSync(copy.path('golden.jsonl'), 'utf8').split('\n').filter((line) => line.includes('"id": "plain"'));
    copy.replace('golden.jsonl', [JSON.stringify({ ...JSON.parse(first), [field]: value }), ...rest].join('\n'));
    const { differences } = await verify(copy.folder);
    assert.equal(differences.length, 1);
    assert.match(differences[0], shown);
    copy.remove();
  });
}

test('no golden vectors prove nothing', async () => {
  const copy = new Copy();
  copy.replace('golden.jsonl', '\n');
  await assert.rejects(verify(copy.folder), { name: 'BundleError', message: /^golden\.jsonl must hold golden vectors: got none/ });
  copy.remove();
});

const BAD = {
  'no messages': [],
  'nothing': null,
  'an empty text': '',
  'white space': ' \n\t\u3000',
  'a message that is no object': ['Hi'],
  'content that is a number': [{ role: 'user', content: 7 }],
  'tool calls that are a number': [{ role: 'user', content: 'Hi', tool_calls: 5 }],
};
test('a request without text whose task decides is decided', async () => {
  for (const task of router.policy.hard_tasks) {
    const decision = await router.decide([], { task, tokens: 5 });
    assert.deepEqual([decision.route, decision.reason], ['frontier', 'hard_task']);
  }
  assert.ok(router.policy.hard_tasks.length > 0);
});

for (const [name, messages] of Object.entries(BAD)) {
  test(`a request with ${name} goes to the frontier model and is counted`, async () => {
    const counted = router.scorerErrors;
    const { error, ...decision } = await router.decide(messages);
    assert.deepEqual([decision.route, decision.model, decision.reason, decision.fallback], ['frontier', 'frontier', 'scorer_error', null]);
    assert.deepEqual([decision.difficulty_score, decision.tokens, decision.tokens_source, decision.truncated], [null, null, null, false]);
    assert.equal(typeof error, 'string');
    assert.equal(router.scorerErrors, counted + 1);
  });
}

test('a graph that fails at run time sends the request to the frontier model', async () => {
  const { graph } = router.scorer;
  router.scorer.graph = { run: () => Promise.reject(new Error('out of memory')) };
  const decision = await router.decide('w1 w2');
  router.scorer.graph = graph;
  assert.deepEqual([decision.reason, decision.error, decision.tokens], ['scorer_error', 'out of memory', 2]);
});

test('odd and long requests are decided', async () => {
  for (const text of ['a\u0000b', '\ud83d', '\ud83d\ude00'.repeat(3), 'word '.repeat(2_000_000)]) {
    const { decision } = await router.consider(text, { eligible: false });
    assert.notEqual(decision.difficulty_score, null);
  }
  const long = await router.decide('word '.repeat(2_000_000));
  assert.deepEqual([long.route, long.reason, long.ineligible], ['frontier', 'ineligible', ['cheap.context_window']]);
});

test('decisions side by side are those one by one', async () => {
  const texts = Array.from({ length: 50 }, (_, n) => `w${n} w${n + 7} w${n * 3}`);
  const alone = [];
  for (const text of texts) alone.push(await router.decide(text));
  assert.deepEqual(await Promise.all(texts.map((text) => router.decide(text))), alone);
});

function cli(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('the command line verifies, decides one text and decides a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'requests-'));
  const file = join(folder, 'requests.jsonl');
  writeFileSync(file, '{"id": "a", "prompt": "w3 w17 w3"}\n\nnot JSON\n{"messages": [{"role": "user", "content": "w1"}], "task": "classify"}\n');
  assert.equal(cli(SAVED, '--verify').stdout, 'bundle-format-1: 6 files match their hashes\n58 golden vectors: all reproduced\n');
  assert.equal(JSON.parse(cli(SAVED, 'Hi', '--task', 'multi-step planning').stdout).reason, 'hard_task');
  const rows = cli(SAVED, '--input', file).stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(rows.map(({ id, reason }) => [id, reason]), [['a', rows[0].reason], ['3', 'scorer_error'], ['4', 'easy_task']]);
  rmSync(folder, { recursive: true });
});

test('the command line reads what a body needs, and leaves out a task or a count that is none', () => {
  const folder = mkdtempSync(join(tmpdir(), 'requests-'));
  const file = join(folder, 'requests.jsonl');
  const asked = { prompt: 'w3 w17 w3', task: 5, prompt_tokens: 'many' };
  const rows = [asked, { ...asked, metadata: { residency: ['eu'] } }, { ...asked, max_tokens: 1e9 }, { input: [{ type: 'item_reference', id: 'x' }, { role: 'user', content: 'w1' }] }];
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join('\n'));
  const decided = cli(SAVED, '--input', file).stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(decided.map(({ ineligible }) => ineligible), [[], ['cheap.residency', 'frontier.residency'], ['cheap.context_window'], ['cheap.unknown_part']]);
  assert.notEqual(decided[0].reason, 'scorer_error');
  rmSync(folder, { recursive: true });
});

test('ten million characters without a blank are too long, and overflow nothing', () => {
  const tools = [{ function: { name: 'f', description: 'x'.repeat(10_000_000) } }];
  assert.equal(needsOf({ messages: 'w1', tools }).prompt_tokens > 7_000_000, true);
});

test('the command line says what is wrong, with exit code 2', () => {
  for (const args of [[], [SAVED], [SAVED, 'Hi', '--verify'], ['nowhere', 'Hi'], [SAVED, '--colour', 'red'], [SAVED, '--input', 'nowhere']]) {
    const { status, stdout, stderr } = cli(...args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /^error: /);
  }
});
