/** Damaged bundles are refused with the file's name, and nothing is built from them. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Router, readBundle } from '../src/index.js';
import { Copy, hash } from './copy.js';

let copy;
beforeEach(() => {
  copy = new Copy();
});
afterEach(() => copy.remove());

const refused = (message, read = readBundle) => assert.rejects(read(copy.folder), { name: 'BundleError', message });

test('the saved bundle is read, and so is a copy with a manifest sealed here', async () => {
  const { manifest, policy, files } = await readBundle(copy.folder);
  assert.deepEqual([manifest.name, policy.threshold, files.size], ['bundle-format', 0.6, 6]);
  copy.writeManifest(copy.readForm('manifest.json'));
  assert.equal((await readBundle(copy.folder)).manifest.version, '1');
});

for (const name of ['scorer.onnx', 'tokenizer.json', 'policy.json', 'golden.jsonl', 'metrics.json', 'card.md']) {
  test(`one changed byte of ${name} is refused`, async () => {
    const bytes = readFileSync(copy.path(name));
    bytes[bytes.length >> 1] ^= 1;
    writeFileSync(copy.path(name), bytes);
    await refused(new RegExp(`^bundle file ${name} was changed`));
  });

  test(`${name} cut short is refused`, async () => {
    writeFileSync(copy.path(name), readFileSync(copy.path(name)).subarray(1));
    await refused(new RegExp(`^bundle file ${name} was changed`));
  });

  test(`a bundle without ${name} is refused`, async () => {
    rmSync(copy.path(name));
    await refused(new RegExp(`^bundle file ${name} is missing`));
  });
}

test('a changed manifest is refused', async () => {
  writeFileSync(copy.path('manifest.json'), readFileSync(copy.path('manifest.json'), 'utf8').replace('"max_tokens": 64', '"max_tokens": 65'));
  await refused(/^bundle file manifest\.json was changed: its hash is not its own/);
});

test('a folder without a manifest, and no folder, are refused', async () => {
  rmSync(copy.path('manifest.json'));
  await refused(/has no manifest\.json/);
  await assert.rejects(readBundle(join(copy.scratch, 'nowhere')), { name: 'BundleError', message: /^no bundle at/ });
});

test('a file or folder that the manifest does not list is refused', async () => {
  writeFileSync(copy.path('.DS_Store'), '');
  await refused(/^bundle file \.DS_Store is not in the manifest/);
  rmSync(copy.path('.DS_Store'));
  mkdirSync(copy.path('more'));
  await refused(/^bundle file more is not in the manifest/);
});

test('a symbolic link is refused even where it leads to the right bytes', async () => {
  renameSync(copy.path('card.md'), join(copy.scratch, 'card.md'));
  symlinkSync(join(copy.scratch, 'card.md'), copy.path('card.md'));
  await refused(/^bundle file card\.md must be a plain file/);
});

test('a listed name outside the folder is never opened', async () => {
  const manifest = copy.readForm('manifest.json');
  writeFileSync(join(copy.scratch, 'x'), 'x');
  copy.writeManifest({ ...manifest, files: { ...manifest.files, '../x': { sha256: hash('x'), bytes: 1 } } });
  await refused(/^bundle file \.\.\/x is missing/);
});

test('a signature is not read', async () => {
  writeFileSync(copy.path('signature'), 'anything');
  assert.equal((await readBundle(copy.folder)).files.has('signature'), false);
});

for (const [problem, change, message] of [
  ['newer format', { format: 2 }, /bundle format 2 is newer than this reader's, 1/],
  ['format as text', { format: '1' }, /must name the bundle format, 1: got 1/],
  ['text view', { text_view: 3 }, /text view 3 is not one that this reader knows/],
  ['unknown field', { colour: 'red' }, /^manifest\.json: colour is a field that this reader does not know/],
  ['missing field', { max_tokens: undefined }, /^manifest\.json: max_tokens is missing/],
  ['wrong type', { max_tokens: 6.5 }, /^manifest\.json: max_tokens must be an integer of at least 1: got 6\.5/],
  ['wrong task id', { task_ids: { code: 'x' } }, /^manifest\.json: task_ids must be an object of integers/],
  ['wrong entry', { files: { 'card.md': { sha256: 'x', bytes: 1 } } }, /^manifest\.json: files\.card\.md\.sha256 must be 64 lower-case/],
]) {
  test(`a manifest with a ${problem} is refused`, async () => {
    copy.writeManifest({ ...copy.readForm('manifest.json'), ...change });
    await refused(message);
  });
}

for (const [problem, change, message] of [
  ['unknown field', { colour: 'red' }, /^policy\.json: colour is a field that this reader does not know/],
  ['unknown field inside', { fallback: { on_validation_failure: true, often: 1 } }, /^policy\.json: fallback\.often is a field/],
  ['missing field', { threshold: undefined }, /^policy\.json: threshold is missing/],
  ['threshold beyond 1', { threshold: 70 }, /^policy\.json: threshold must be a number in \[0, 1\]: got 70/],
  ['task that is easy and hard', { easy_tasks: ['code'], hard_tasks: ['code'] }, /^policy\.json: a task is easy or hard, not both: got code/],
  ['route on errors to the cheap model', { on_error: 'cheap' }, /^policy\.json: on_error must be one of "frontier"/],
]) {
  test(`a policy with a ${problem} is refused`, async () => {
    copy.replace('policy.json', JSON.stringify({ ...copy.readForm('policy.json'), ...change }));
    await refused(message);
  });
}

test('a familiarity that the scorer does not give cannot be asked for', async () => {
  const manifest = copy.readForm('manifest.json');
  copy.writeManifest({ ...manifest, outputs: manifest.outputs.filter((name) => name !== 'familiarity') });
  copy.replace('policy.json', JSON.stringify({ ...copy.readForm('policy.json'), min_familiarity: 0.1 }));
  await refused(/^policy\.json asks for a min_familiarity/);
});

test('bytes that are no UTF-8 or no JSON are refused', async () => {
  copy.replace('policy.json', Buffer.from([0x7b, 0xff, 0x7d]));
  await refused(/^policy\.json is not valid JSON/);
  copy.replace('policy.json', '{"threshold": NaN}');
  await refused(/^policy\.json is not valid JSON/);
  writeFileSync(copy.path('manifest.json'), '{"format": 1');
  await refused(/^manifest\.json is not valid JSON/);
});

test('a graph or tokenizer that does not load is refused, also with a right hash', async () => {
  const load = (folder) => Router.load(folder);
  copy.replace('tokenizer.json', '{}');
  await refused(/^tokenizer\.json cannot be loaded/, load);
  copy.replace('scorer.onnx', 'no graph');
  await refused(/^scorer\.onnx cannot be loaded/, load);
});

test('a graph with other outputs than the manifest names is refused', async () => {
  copy.writeManifest({ ...copy.readForm('manifest.json'), outputs: ['difficulty_score', 'p_cheap_fails'] });
  await refused(/^scorer\.onnx must have the outputs difficulty_score, p_cheap_fails: got/, (folder) => Router.load(folder));
});
