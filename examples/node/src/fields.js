/**
 * Fields of manifest.json and policy.json: type, range, and whether they may be missing.
 * Unknown fields are refused, because one that a reader left out might be the one that decides.
 */
import { checkedEligibility, ELIGIBILITY, LIMITS } from './eligibility.js';
import { BundleError } from './errors.js';

const is = (rule, check, missing) => ({ rule, check, missing });
/** A field that may be missing, and what it then is. */
const or = (field, missing) => ({ ...field, missing });

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === 'string';
const isInteger = (value) => Number.isSafeInteger(value);
const isShare = (value) => typeof value === 'number' && value >= 0 && value <= 1;
const every = (check) => (value) => isObject(value) && Object.values(value).every(check);

const text = is('a string', isText);
const name = is('a string that is not empty', (value) => isText(value) && value !== '');
const maybeText = is('a string or null', (value) => value === null || isText(value), null);
const texts = is('a list of strings', (value) => Array.isArray(value) && value.every(isText));
const object = is('an object', isObject);
const share = is('a number in [0, 1]', isShare);
const maybeShare = is('a number in [0, 1] or null', (value) => value === null || isShare(value), null);
const count = is('an integer of at least 0', (value) => isInteger(value) && value >= 0);
const sha256 = is('64 lower-case hexadecimal digits', (value) => isText(value) && /^[0-9a-f]{64}$/.test(value));
const atLeast = (least) => is(`an integer of at least ${least}`, (value) => isInteger(value) && value >= least);
const oneOf = (...choices) => is(`one of ${choices.map((choice) => JSON.stringify(choice)).join(', ')}`, (value) => choices.includes(value));
const moment = is('a date, ISO 8601', (value) => isText(value) && /^\d{4}-\d\d-\d\d/.test(value) && !Number.isNaN(Date.parse(value)));

const MANIFEST = {
  format: oneOf(1),
  name,
  version: name,
  created: moment,
  target: oneOf('benefit', 'failure'),
  outputs: texts,
  text_view: is('an integer', isInteger),
  max_chars: atLeast(2),
  max_tokens: atLeast(1),
  task_ids: or(is('an object of integers', every(isInteger)), {}),
  request_numbers: is('an integer or null', (value) => value === null || isInteger(value), null),
  score_tolerance: is('a number above 0', (value) => typeof value === 'number' && value > 0),
  cheap_model: maybeText,
  frontier_model: maybeText,
  training_data: text,
  split: object,
  recipe: object,
  libraries: is('an object of strings', every(isText)),
  files: object,
  sha256,
};
const FILE = { sha256, bytes: count };

const POLICY = {
  cheap_model: name,
  frontier_model: name,
  max_cheap_tokens: or(count, 256),
  easy_tasks: or(texts, []),
  hard_tasks: or(texts, []),
  threshold: share,
  task_thresholds: or(is('an object of numbers in [0, 1]', every(isShare)), {}),
  min_familiarity: or(share, 0),
  early: is('an object or null', (value) => value === null || isObject(value), null),
  answer: is('an object or null', (value) => value === null || isObject(value), null),
  stick: is('an object or null', (value) => value === null || isObject(value), null),
  eligibility: is('an object or null', (value) => value === null || isObject(value), null),
  fallback: or(object, {}),
  exploration: or(object, {}),
  on_error: or(oneOf('frontier'), 'frontier'),
  review_date: moment,
  chosen: object,
};
const maybeObject = POLICY.early;
const EARLY = { threshold: share, budget: share, confidence: share, with_task: maybeObject, without_task: maybeObject };
const CUT_OFFS = { low: share, high: share, n: count, expected: object };
const ANSWER = {
  threshold: share,
  kind: or(oneOf('check', 'both'), 'both'),
  on_unknown: or(oneOf('pass', 'escalate'), 'pass'),
  request_threshold: maybeShare,
  stale_shift: maybeShare,
};
const STICK = {
  within: or(oneOf('loop', 'session'), 'session'),
  margin: or(share, 0.05),
  margin_back: maybeShare,
  cold_after_minutes: is('a number above 0 or null', (value) => value === null || (typeof value === 'number' && value > 0), 5),
};
const flag = is('true or false', (value) => typeof value === 'boolean');
const FALLBACK = {
  on_validation_failure: or(flag, true),
  on_call_failure: or(flag, true),
  validators: or(is('a list of objects', (value) => Array.isArray(value) && value.every(isObject)), []),
  streaming: or(oneOf('pass', 'buffer'), 'pass'),
  catch_rate: maybeShare,
};
const VALIDATOR = { check: name, tasks: or(texts, []), options: or(object, {}) };
const EXPLORATION = {
  epsilon: or(is('a number in [0, 0.5]', (value) => isShare(value) && value <= 0.5), 0),
  shadow: or(share, 0),
  seed: or(count, 0),
};
const CHOSEN = { objective: text, calibration_data: text, n: count, expected: object, assumed: or(texts, []), guarantee: maybeText };

/** Names of the fields by the record they belong to, for a test that compares them with the specification. */
export const FIELDS = Object.fromEntries(
  Object.entries({ MANIFEST, FILE, POLICY, ELIGIBILITY, LIMITS, EARLY, CUT_OFFS, ANSWER, STICK, FALLBACK, VALIDATOR, EXPLORATION, CHOSEN }).map(([record, fields]) => [record, Object.keys(fields)]),
);

/** Return the fields of a manifest, checked. */
export function checkedManifest(form) {
  const manifest = checked(form, MANIFEST, 'manifest.json');
  for (const [file, entry] of Object.entries(manifest.files)) checked(entry, FILE, 'manifest.json', `files.${file}.`);
  return manifest;
}

/** Return the fields of a policy, checked, with their defaults. */
export function checkedPolicy(form) {
  const policy = checked(form, POLICY, 'policy.json');
  if (policy.early !== null) policy.early = checked(policy.early, EARLY, 'policy.json', 'early.');
  for (const kind of ['with_task', 'without_task']) {
    if (policy.early?.[kind]) checked(policy.early[kind], CUT_OFFS, 'policy.json', `early.${kind}.`);
  }
  if (policy.answer !== null) policy.answer = checkedAnswer(policy);
  policy.eligibility = checkedEligibility(policy.eligibility);
  if (policy.stick !== null) policy.stick = checked(policy.stick, STICK, 'policy.json', 'stick.');
  policy.fallback = checked(policy.fallback, FALLBACK, 'policy.json', 'fallback.');
  policy.fallback.validators = policy.fallback.validators.map((rule) => checked(rule, VALIDATOR, 'policy.json', 'fallback.validators.'));
  policy.exploration = checked(policy.exploration, EXPLORATION, 'policy.json', 'exploration.');
  policy.chosen = checked(policy.chosen, CHOSEN, 'policy.json', 'chosen.');
  const both = policy.easy_tasks.filter((task) => policy.hard_tasks.includes(task));
  if (both.length > 0) throw new BundleError(`policy.json: a task is easy or hard, not both: got ${both.join(', ')}. Ship the bundle again.`);
  return policy;
}

function checkedAnswer(policy) {
  const answer = checked(policy.answer, ANSWER, 'policy.json', 'answer.');
  if (answer.kind === 'both') return answer;
  const lower = [policy.threshold, ...Object.values(policy.task_thresholds)].find((share) => share < 1);
  if (lower !== undefined) throw new BundleError(`policy.json: thresholds must be 1 where answer.kind is "check": got ${lower}. Ship the bundle again.`);
  if (answer.request_threshold === null) throw new BundleError('policy.json: answer.request_threshold must be a number where answer.kind is "check". Ship the bundle again.');
  return answer;
}

function checked(form, fields, file, prefix = '') {
  const refuse = (problem) => new BundleError(`${file}: ${prefix}${problem}. Ship the bundle again.`);
  if (!isObject(form)) throw new BundleError(`${file}: ${prefix || 'the content '}must be an object. Ship the bundle again.`);
  for (const field of Object.keys(form)) {
    if (!Object.hasOwn(fields, field)) throw refuse(`${field} is a field that this reader does not know`);
  }
  const found = {};
  for (const [field, { rule, check, missing }] of Object.entries(fields)) {
    const given = Object.hasOwn(form, field);
    if (!given && missing === undefined) throw refuse(`${field} is missing`);
    if (given && !check(form[field])) throw refuse(`${field} must be ${rule}: got ${JSON.stringify(form[field]).slice(0, 80)}`);
    found[field] = given ? form[field] : missing;
  }
  return found;
}
