/** Facts about the answer that a text states in the end, and about its JSON (docs/answers.md, "final"). */
import { codePoints, lower, numbers, WAYS } from './scan.js';

export const NAMES = [
  ...WAYS.map((way) => `way_${way}`),
  'different', 'position', 'length', 'is_number', 'is_whole', 'is_negative', 'size', 'is_small', 'is_zero', 'is_multiple_of_ten', 'in_question', 'times_before',
  'is_new', 'has_fraction', 'has_root', 'has_letter', 'above_question', 'below_question', 'is_yes', 'is_no', 'comes_first', 'is_empty', 'has_brace', 'is_json',
  'is_broken_json', 'reasoning_agrees', 'in_reasoning', 'reasoning_length',
].map((name) => `final.${name}`);
const DEEPEST = 100;
const OPENING = /^[ \t\n\r]*\[?\(?(?:yes|no|[a-j])(?![a-z0-9_])/u;
const OPENS_JSON = /^[ \t\n\r]*(?:```json)?[ \t\n\r]{0,20}\{/u;
const OBJECT = /^\{[ \x00-\x1f]*["}]/u;

export function readFinal(pair) {
  const { stated, text } = pair;
  return [
    ...WAYS.map((way) => Number(stated.way === way)),
    Math.log1p(stated.different),
    codePoints(text.slice(0, stated.start)) / Math.max(1, codePoints(text)),
    Math.log1p(codePoints(stated.text)),
    ...readNumber(pair, stated),
    ...readText(pair, stated),
    ...readJsonFacts(text),
  ];
}

function readNumber(pair, { number: value, start }) {
  if (value === null) return Array(10).fill(0);
  const before = pair.textPlaces.filter(({ end }) => end <= start).map((place) => place.value);
  const times = before.filter((number) => number === value).length;
  return [
    1,
    Number(value % 1 === 0),
    Number(value < 0),
    Math.log1p(Math.min(Math.abs(value), 1e9)),
    Number(value >= 0 && value <= 12),
    Number(value === 0),
    Number(value !== 0 && value % 10 === 0),
    Number(pair.questionNumbers.includes(value)),
    Math.log1p(times),
    Number(!times),
  ];
}

function readText(pair, { text, number: value }) {
  const sizes = pair.questionNumbers.map(Math.abs);
  const largest = sizes.reduce((one, other) => Math.max(one, other), 0);
  const smallest = sizes.reduce((one, other) => Math.min(one, other), Infinity);
  const start = lower(text.slice(0, 3));
  return [
    Number(text.includes('/') || text.includes('frac')),
    Number(text.includes('sqrt') || text.includes('\\pi') || text.includes('\u03c0')),
    Number(/[a-z]/u.test(text.replace(/\\[a-z]+|text/gu, ''))),
    Number(value !== null && sizes.length > 0 && Math.abs(value) > 10 * largest),
    Number(value !== null && sizes.length > 0 && Math.abs(value) < smallest),
    Number(start === 'yes'),
    Number(start.slice(0, 2) === 'no'),
    Number(OPENING.test(pair.textLower)),
    Number(!text),
  ];
}

function readJsonFacts(text) {
  const start = text.indexOf('{');
  const end = text.lastIndexOf('}') + 1;
  const value = start >= 0 && start < end ? readObject(text.slice(start, end)) : null;
  const [reasoning, answer] = readReasoning(value);
  const last = numbers(reasoning).at(-1);
  return [
    Number(start >= 0),
    Number(value !== null),
    Number(value === null && OPENS_JSON.test(text)),
    Number(Boolean(reasoning && answer) && last !== undefined && last === numbers(answer)[0]),
    Number(Boolean(reasoning && answer) && reasoning.includes(answer)),
    Math.log1p(codePoints(reasoning)),
  ];
}

function readReasoning(value) {
  if (value === null || !Object.hasOwn(value, 'answer') || typeof value.answer !== 'string') return ['', ''];
  return [Object.hasOwn(value, 'reasoning') && typeof value.reasoning === 'string' ? value.reasoning : '', value.answer];
}

/** The object that a text is in JSON, control characters taken as spaces; null for anything else. */
export function readObject(text) {
  if (!OBJECT.test(text) || depth(text) > DEEPEST) return null;
  try {
    const value = JSON.parse(text.replace(/[\x00-\x1f]/gu, ' '));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function depth(text) {
  let open = 0;
  let deepest = 0;
  for (const bracket of text.match(/[[\]{}]/g) ?? []) {
    open += bracket === '[' || bracket === '{' ? 1 : -1;
    deepest = Math.max(deepest, open);
  }
  return deepest;
}
