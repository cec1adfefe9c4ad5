/** Facts about tool calls: the calls of an answer against the offered schemas and the question (docs/answers.md, "Tool calls"). */
import { isObject } from '../text.js';
import { plainName, readCalls } from './calls.js';
import { QUESTION_CHARS } from './pair.js';
import { codePoints, contentWords, count, cut, head, lower, numbers, placeNumbers, plainDigits, shared, words } from './scan.js';
import { LONGEST_NAME, readOffer, resolve } from './schemas.js';

export const NAMES = [
  ...['functions', 'no_call', 'calls', 'distinct', 'failed', 'unreadable', 'not_json', 'prose', 'unknown', 'missing', 'extra', 'wrong_type', 'not_in_enum'],
  ...['optional', 'optional_share', 'default', 'empty', 'text_boolean', 'lists', 'required', 'arguments', 'text_length', 'strings_new', 'numbers_new'],
  ...['numbers_unused', 'percent_as_share', 'percent_raw', 'expressions', 'nested', 'duplicate', 'single', 'one_of_many', 'uncalled', 'fit_best', 'fit_called'],
  ...['fit_uncalled', 'fit_gap', 'fit_name', 'question_length', 'question_numbers', 'question_marks', 'question_quotes', 'and_words', 'commas', 'list_words'],
  ...['or', 'calls_to_cues', 'hand_score'],
].map((name) => `tools.${name}`);
const MOST_LEAVES = 256;
const MOST_VISITS = 1024;
const DEEPEST = 8;
const MOST_CHOICES = 1024;
const MOST_COMPARISONS = 16384;
const AND_WORDS = new Set(['and', 'also', 'then', 'second', 'another', 'additionally']);
const LIST_WORDS = new Set(['respectively', 'each', 'both', 'following']);
const COUNTED = new Map('zero one two three four five six seven eight nine ten eleven twelve'.split(' ').map((word, number) => [word, number]));
const PERCENT = /^ ?(?:%|percent)/;
const FAULTS = ['failed', 'unreadable', 'unknown', 'missing', 'extra', 'wrong_type', 'not_in_enum', 'expressions', 'duplicate'];
const KINDS = new Map(
  Object.entries({
    string: ['string', 'str', 'char'],
    integer: ['integer', 'int', 'long', 'short', 'byte', 'bigint'],
    number: ['number', 'float', 'double', 'decimal'],
    boolean: ['boolean', 'bool'],
    array: ['array', 'list', 'tuple', 'arraylist', 'set'],
    object: ['object', 'dict', 'hashmap', 'map'],
    null: ['null', 'none'],
  }).flatMap(([kind, names]) => names.map((name) => [name, kind])),
);
const log = Math.log1p;
const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);
const share = (part, whole) => (whole ? part / whole : 0);

/** The facts of NAMES. */
export function readTools(pair) {
  const { functions, prose } = readOffer(pair.asked.tools ?? [], pair.asked.system ?? '');
  if (functions.length === 0) return NAMES.map(() => NaN);
  const offered = new Map(functions.map((offer) => [plainName(offer.name), offer]));
  const calls = readCalls(pair, offered);
  if (calls.read.length === 0 && pair.answer.toolCalls?.length > 0) return NAMES.map(() => NaN);
  const ground = readGround(pair, prose);
  const fits = new Map([...offered].map(([name, offer]) => [name, fitOf(offer, pair.questionContent)]));
  const tally = newTally(ground.context);
  for (const call of calls.read) countCall(call, offered.get(calledName(call)), { ground, fits, tally, content: pair.questionContent });
  const facts = factsOf(pair, calls, fits, tally);
  facts.hand_score = handScore(facts);
  return NAMES.map((name) => Number(facts[name.slice('tools.'.length)]));
}

const calledName = (call) => plainName(head(call.name, LONGEST_NAME));

const about = (text) => contentWords(words(text.replace(/([a-z])([A-Z])/g, '$1 $2')));

const fitOf = ({ name, description }, content) => shared(content, about(`${name} ${description}`)) / Math.sqrt(Math.max(1, content.size));

function newTally(used) {
  const counts = ['unknown', 'missing', 'extra', 'wrongType', 'notInEnum', 'optionalGiven', 'optional', 'default', 'empty', 'textBoolean', 'lists', 'required'];
  counts.push('arguments', 'textLength', 'strings', 'stringsNew', 'numbers', 'numbersNew', 'percentAsShare', 'percentRaw', 'leaves', 'visits', 'comparisons');
  return { ...Object.fromEntries(counts.map((name) => [name, 0])), used: new Set(used), fits: [], nameFits: [] };
}

/** What arguments may have been taken from. */
function readGround(pair, prose) {
  const [system, context] = [prose, pair.asked.context ?? ''].map((text) => plainDigits(lower(cut(text, QUESTION_CHARS))));
  const [given, before] = [pair.questionNumbers.map(keyOf), numbers(context).map(keyOf)];
  const counted = pair.questionWords.filter((word) => COUNTED.has(word)).map((word) => keyOf(COUNTED.get(word)));
  const percentages = new Set(percentagesOf(pair.question).map(keyOf));
  return {
    text: [pair.questionLower, system, context].filter((text) => text !== '').join('\n'),
    numbers: new Set([...given, ...before, ...numbers(system).map(keyOf), ...counted]),
    context: new Set(before), // numbers that earlier answers or tools have dealt with
    hundreds: new Set(percentages.size > 0 ? given : []),
    percentages,
  };
}

function percentagesOf(text) {
  const places = placeNumbers(text).filter(({ end }) => PERCENT.test(text.slice(end, end + 8)));
  return places.map(({ value }) => value);
}

/** A number rounded to a millionth, so that equal ones are found in a set. */
const keyOf = (value) => (Math.abs(value) < 1e15 ? Math.floor(value * 1e6 + 0.5) : value);

function countCall(call, offer, { ground, fits, tally, content }) {
  if (offer === undefined) {
    tally.unknown += 1;
    tally.fits.push(0);
    tally.nameFits.push(0);
  } else {
    const own = about(offer.name);
    tally.fits.push(fits.get(plainName(offer.name)));
    tally.nameFits.push(shared(content, own) / Math.max(1, own.size));
  }
  if (call.arguments === null) return;
  const given = call.arguments;
  tally.arguments += given.size;
  if (offer === undefined) return;
  const isParameter = (name) => Object.hasOwn(offer.parameters, name);
  const required = offer.required.filter(isParameter);
  tally.required += required.length;
  tally.missing += offer.required.filter((name) => !given.has(name)).length;
  tally.optional += Object.keys(offer.parameters).length - required.length;
  tally.optionalGiven += [...given.keys()].filter(isParameter).length - required.filter((name) => given.has(name)).length;
  for (const [name, value] of given) {
    if (isParameter(name)) countArgument(value, resolve(offer.parameters[name], offer), offer, ground, tally);
    else tally.extra += 1;
  }
}

const isContainer = (value) => Array.isArray(value) || value instanceof Map;
const sizeOf = (value) => value.size ?? value.length;

function countArgument(value, schema, offer, ground, tally) {
  tally.wrongType += Number(!isTyped(value, schema, offer, tally, DEEPEST));
  const choices = choicesOf(schema, offer, Array.isArray(value));
  if (choices !== null) tally.notInEnum += Number(!isListed(value, choices, tally));
  tally.default += Number(value !== null && isSame(value, own(schema, 'default')));
  tally.lists += Number(isContainer(value));
  tally.empty += Number(value === null || ((typeof value === 'string' || isContainer(value)) && sizeOf(value) === 0));
  for (const leaf of leavesOf(value, MOST_LEAVES - tally.leaves)) {
    tally.leaves += 1;
    countLeaf(leaf, ground, tally, choices === null);
  }
}

/** Whether a value, or each part of a list, is allowed; after too many comparisons nothing is looked at. */
function isListed(value, choices, tally) {
  const values = Array.isArray(value) ? value : [value];
  tally.comparisons += values.length * choices.length;
  if (tally.comparisons > MOST_COMPARISONS) return true;
  return values.every((part) => isContainer(part) || choices.some((choice) => isSame(part, choice)));
}

function countLeaf(leaf, ground, tally, isFree) {
  if (typeof leaf === 'string') {
    const text = plainDigits(lower(leaf));
    tally.strings += 1;
    tally.textLength += codePoints(leaf);
    tally.stringsNew += Number(isFree && !ground.text.includes(text));
    tally.textBoolean += Number(text === 'true' || text === 'false');
    for (const value of numbers(text)) tally.used.add(keyOf(value));
  } else if (typeof leaf === 'number') {
    const [key, hundredfold] = [keyOf(leaf), keyOf(leaf * 100)];
    tally.numbers += 1;
    tally.used.add(key).add(hundredfold);
    const isShare = ground.hundreds.has(hundredfold);
    tally.numbersNew += Number(!isShare && !ground.numbers.has(key));
    tally.percentAsShare += Number(isShare);
    tally.percentRaw += Number(leaf > 0 && leaf <= 100 && ground.percentages.has(key));
  }
}

/** The values inside of lists and objects, the first ones. */
function leavesOf(value, most) {
  const leaves = [];
  const parts = [value];
  while (parts.length > 0 && leaves.length < most) {
    const part = parts.pop();
    if (isContainer(part)) for (const inner of [...part.values()].reverse()) parts.push(inner);
    else leaves.push(part);
  }
  return leaves;
}

function choicesOf(schema, offer, isList) {
  const described = isList && !Object.hasOwn(schema, 'enum') ? resolve(own(schema, 'items'), offer) : schema;
  let choices = own(described, 'enum');
  for (const alternative of alternativesOf(described)) choices = isEmpty(choices) ? own(resolve(alternative, offer), 'enum') : choices;
  return Array.isArray(choices) && choices.length > 0 && choices.length <= MOST_CHOICES ? choices : null;
}

/** Whether a JSON value is missing, null, false, 0 or has nothing in it. */
const isEmpty = (value) => !value || (typeof value === 'object' && Object.keys(value).length === 0);

function alternativesOf(schema) {
  const alternatives = isEmpty(own(schema, 'anyOf')) ? own(schema, 'oneOf') : schema.anyOf;
  return Array.isArray(alternatives) ? alternatives.slice(0, DEEPEST) : [];
}

/** Whether a value has the type of its schema, and so on inside of it; what lies too deep counts as right. */
function isTyped(value, schema, offer, tally, deepest) {
  tally.visits += 1;
  if (deepest === 0 || tally.visits > MOST_VISITS) return true;
  const fits = (part, inner) => isTyped(part, resolve(inner, offer), offer, tally, deepest - 1);
  const alternatives = alternativesOf(schema);
  if (alternatives.length > 0) return alternatives.some((alternative) => fits(value, alternative));
  const kinds = readKinds(own(schema, 'type'));
  if (value === null && own(schema, 'nullable') === true) return true;
  if (kinds.length > 0 && !kindsOf(value).some((kind) => kinds.includes(kind))) return false;
  if (Array.isArray(value)) {
    const items = own(schema, 'items');
    return !isObject(items) || value.every((part) => fits(part, items));
  }
  if (!(value instanceof Map)) return true;
  const [properties, required] = [own(schema, 'properties'), own(schema, 'required')];
  const names = Array.isArray(required) ? required.filter((name) => typeof name === 'string') : [];
  if (!names.every((name) => value.has(name))) return false;
  return !isObject(properties) || [...value].every(([name, part]) => !Object.hasOwn(properties, name) || fits(part, properties[name]));
}

/** JSON's names of types; none where one of them is not known. */
function readKinds(types) {
  const kinds = (Array.isArray(types) ? types : [types]).map((name) => (typeof name === 'string' ? KINDS.get(lower(name)) : undefined));
  return kinds.includes(undefined) ? [] : kinds;
}

function kindsOf(value) {
  if (value === null) return ['null'];
  if (typeof value === 'number') return Number.isInteger(value) ? ['integer', 'number'] : ['number'];
  if (Array.isArray(value)) return ['array'];
  return value instanceof Map ? ['object'] : [typeof value];
}

const isSame = (value, other) => typeof value !== 'object' || value === null ? value === other : false;

function factsOf(pair, calls, fits, tally) {
  const { read } = calls;
  const [n, total] = [read.length, Math.max(read.length, pair.answer.toolCalls?.length ?? 0)];
  const called = new Set(read.map(calledName));
  const uncalled = [...fits.keys()].filter((name) => !called.has(name));
  const bestUncalled = Math.max(0, ...uncalled.map((name) => fits.get(name)));
  const leastCalled = n > 0 ? Math.min(...tally.fits) : 0;
  const { question, questionWords, questionNumbers } = pair;
  const sum = (valueOf) => read.reduce((whole, call) => whole + valueOf(call), 0);
  const ands = log(questionWords.filter((word) => AND_WORDS.has(word)).length);
  const commas = log(count(question, ','));
  return {
    functions: log(fits.size),
    no_call: n === 0,
    calls: log(total),
    distinct: log(called.size),
    failed: calls.failed > 0,
    unreadable: share(sum((call) => Number(call.arguments === null)), n),
    not_json: share(sum((call) => Number(!call.isStrict)), n),
    prose: log(calls.prose),
    unknown: share(tally.unknown, n),
    missing: log(tally.missing),
    extra: log(tally.extra),
    wrong_type: log(tally.wrongType),
    not_in_enum: log(tally.notInEnum),
    optional: log(tally.optionalGiven),
    optional_share: share(tally.optionalGiven, tally.optional),
    default: log(tally.default),
    empty: log(tally.empty),
    text_boolean: log(tally.textBoolean),
    lists: log(tally.lists),
    required: share(tally.required, n),
    arguments: log(share(tally.arguments, n)),
    text_length: log(share(tally.textLength, n)),
    strings_new: share(tally.stringsNew, tally.strings),
    numbers_new: share(tally.numbersNew, tally.numbers),
    numbers_unused: share(questionNumbers.filter((value) => !tally.used.has(keyOf(value))).length, n > 0 ? questionNumbers.length : 0),
    percent_as_share: log(tally.percentAsShare),
    percent_raw: log(tally.percentRaw),
    expressions: log(sum((call) => call.expressions)),
    nested: log(sum((call) => call.nestedCalls)),
    duplicate: hasDuplicate(read),
    single: n === 1,
    one_of_many: n === 1 && fits.size > 1,
    uncalled: log(uncalled.length),
    fit_best: Math.max(...fits.values()),
    fit_called: leastCalled,
    fit_uncalled: bestUncalled,
    fit_gap: n > 0 ? bestUncalled - leastCalled : 0,
    fit_name: n > 0 ? Math.min(...tally.nameFits) : 0,
    question_length: log(codePoints(question)),
    question_numbers: log(questionNumbers.length),
    question_marks: log(count(question, '?')),
    question_quotes: question.includes('`') || question.includes("'"),
    and_words: ands,
    commas,
    list_words: questionWords.some((word) => LIST_WORDS.has(word)) || /, [a-z]+,? and /.test(pair.questionLower),
    or: questionWords.includes('or'),
    calls_to_cues: n > 0 ? log(total) - 0.5 * (ands + commas) : 0,
  };
}

/** How much speaks against the calls, by rules that no label went into. */
function handScore(facts) {
  if (facts.no_call && !facts.failed) return squash(0.5 * facts.fit_best - 0.75);
  const faults = Math.min(FAULTS.filter((name) => facts[name] > 0).length, 2);
  return squash(faults + facts.strings_new + facts.numbers_unused + 0.25 * facts.numbers_new + 0.25 * facts.fit_uncalled - 0.5 * facts.fit_called);
}

const squash = (against) => 1 / (1 + Math.exp(-2 * against));

function hasDuplicate(calls) {
  const readable = calls.filter((call) => call.arguments !== null);
  return new Set(readable.map((call) => `${plainName(call.name)} ${canonical(call.arguments)}`)).size < readable.length;
}

/** A value as one text; numbers go by their value. */
function canonical(value) {
  if (value instanceof Map) return `{${[...value].map(([name, part]) => `${JSON.stringify(name)}:${canonical(part)}`).sort().join()}}`;
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
