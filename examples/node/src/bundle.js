/** Reading a bundle: every check of docs/bundle.md, "What a reader checks", before anything is built from it. */
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BundleError } from './errors.js';
import { checkedManifest, checkedPolicy } from './fields.js';
import { NUMBERS_VERSION } from './numbers.js';
import { LearnedView } from './views/boilerplate.js';

const FORMAT = 1;
const TEXT_VIEWS = [1, 2];
const REQUIRED = ['scorer.onnx', 'tokenizer.json', 'policy.json', 'golden.jsonl', 'metrics.json', 'card.md'];
const NOT_LISTED = ['manifest.json', 'signature'];
const AGAIN = 'Copy the whole folder again, or ship it again.';

/**
 * Return `{ manifest, policy, files, learnedView }`; `files` are the bytes that were hashed, by name.
 * @param {string} folder
 * @throws {BundleError} if anything is damaged, missing, added or of a newer format
 */
export async function readBundle(folder) {
  if (!(await stat(folder).catch(() => null))?.isDirectory()) {
    throw new BundleError(`no bundle at ${JSON.stringify(folder)}: expected a folder written by 'difficulty ship'.`);
  }
  const names = await readdir(folder);
  if (!names.includes('manifest.json')) throw new BundleError(`bundle ${JSON.stringify(folder)} has no manifest.json. ${AGAIN}`);
  const manifest = readManifest(await readFile(join(folder, 'manifest.json')));
  checkNames(names, Object.keys(manifest.files));
  const files = new Map();
  for (const [name, entry] of Object.entries(manifest.files)) files.set(name, await readChecked(folder, name, entry));
  const policy = checkedPolicy(parseJson(files.get('policy.json'), 'policy.json'));
  if (policy.min_familiarity > 0 && !manifest.outputs.includes('familiarity')) {
    throw new BundleError('policy.json asks for a min_familiarity, but this scorer has no familiarity output. Set it to 0 or train again.');
  }
  if (policy.early !== null && !files.has('early.onnx')) {
    throw new BundleError('policy.json has early cut-offs, but the bundle has no early.onnx. Ship the bundle again.');
  }
  if (policy.answer !== null && !files.has('answer.onnx')) {
    throw new BundleError('policy.json has a check of answers, but the bundle has no answer.onnx. Ship the bundle again.');
  }
  if (files.has('answer.onnx') !== files.has('answer.json')) {
    throw new BundleError('a bundle must have answer.onnx and answer.json, or neither. Ship the bundle again.');
  }
  if (files.has('view.json') !== manifest.text_view > 1) {
    throw new BundleError('a bundle must have view.json where its text view is 2, and there alone. Ship the bundle again.');
  }
  const learnedView = files.has('view.json') ? LearnedView.parse(parseJson(files.get('view.json'), 'view.json')) : null;
  return { manifest, policy, files, learnedView };
}

function readManifest(bytes) {
  const form = parseJson(bytes, 'manifest.json');
  const format = form?.format;
  if (Number.isInteger(format) && format > FORMAT) {
    throw new BundleError(`manifest.json: bundle format ${format} is newer than this reader's, ${FORMAT}. Upgrade the router, or ship again.`);
  }
  if (format !== FORMAT) throw new BundleError(`manifest.json must name the bundle format, ${FORMAT}: got ${format}. ${AGAIN}`);
  const manifest = checkedManifest(form);
  if (!isSealed(bytes, manifest.sha256)) throw new BundleError(`bundle file manifest.json was changed: its hash is not its own. ${AGAIN}`);
  if (!TEXT_VIEWS.includes(manifest.text_view)) {
    throw new BundleError(`manifest.json: text view ${manifest.text_view} is not one that this reader knows, ${TEXT_VIEWS.join(', ')}. Upgrade the router.`);
  }
  const numbers = manifest.request_numbers;
  if (numbers !== null && numbers !== NUMBERS_VERSION) {
    throw new BundleError(`manifest.json: request numbers ${numbers} are not those that this reader knows, ${NUMBERS_VERSION}. Upgrade the router.`);
  }
  return manifest;
}

/** Whether the manifest's own hash, taken with its 64 digits as zeros, is the one it names. */
function isSealed(bytes, seal) {
  const at = bytes.indexOf(seal);
  if (at < 0 || bytes.indexOf(seal, at + 1) >= 0) return false;
  return hash(Buffer.concat([bytes.subarray(0, at), Buffer.from('0'.repeat(64)), bytes.subarray(at + 64)])) === seal;
}

/** Compare with the folder's own listing, so that a name like `../x` is never opened. */
function checkNames(found, listed) {
  const missing = [...REQUIRED, ...listed].filter((name) => !found.includes(name)).sort();
  if (missing.length > 0) throw new BundleError(`bundle file ${missing[0]} is missing. ${AGAIN}`);
  const unlisted = [...REQUIRED, ...found].filter((name) => !listed.includes(name) && !NOT_LISTED.includes(name)).sort();
  if (unlisted.length > 0) throw new BundleError(`bundle file ${unlisted[0]} is not in the manifest. Remove it, or ship the bundle again.`);
}

async function readChecked(folder, name, entry) {
  const path = join(folder, name);
  if (!(await lstat(path)).isFile()) throw new BundleError(`bundle file ${name} must be a plain file. ${AGAIN}`);
  const bytes = await readFile(path);
  if (bytes.length !== entry.bytes || hash(bytes) !== entry.sha256) {
    throw new BundleError(`bundle file ${name} was changed: its hash is not the manifest's. ${AGAIN}`);
  }
  return bytes;
}

/** Return the value in the JSON bytes of a bundle's file. */
export function parseJson(bytes, name) {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new BundleError(`${name} is not valid JSON (${error.message}). ${AGAIN}`);
  }
}

function hash(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}
