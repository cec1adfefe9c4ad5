/** Facts about multiple choice (docs/answers.md, "options"). */
import { codePoints, contentWords, count, lower, numbers, shared, strip, wordsOf } from './scan.js';

const LETTERS = [...'ABCDEFGHIJ'];
export const NAMES = [
  'offered',
  ...LETTERS.map((letter) => `is_${letter}`),
  'count', 'is_stated', 'different', 'not_offered', 'overlap', 'overlap_gap', 'verbatim', 'length', 'length_gap', 'number_agrees', 'any_number_agrees',
  'is_none_or_all', 'place', 'mentions', 'share_verbatim',
].map((name) => `options.${name}`);
const OPTION = /^[ \t]*\(?([A-J])[.):][ \t]+([^\n]+)/u;
const NAMED =
  /(?:[Aa]nswer|[Cc]orrect (?:option|choice)|[Oo]ption|[Cc]hoice)(?: is|:)?[ \t\n]{0,8}(?:is|:)?[ \t\n]{0,8}\*{0,4}[ \t\n]{0,8}\(?([A-J])(?![A-Za-z0-9_])/gu;
const LETTER = /^[^A-Za-z0-9_]*([A-J])(?![A-Za-z0-9_])/u;
const CONCLUSION = /\([A-J]\)|answer is[^\n]*/gu;

export function readOptions(pair) {
  const options = findOptions(pair.question);
  if (options.size < 2) return [0, ...Array(NAMES.length - 1).fill(NaN)];
  const named = [...pair.text.matchAll(NAMED)].map((match) => match[1]);
  const letter = named.at(-1) ?? (LETTER.exec(pair.stated.text) ?? LETTER.exec(pair.text))?.[1] ?? null;
  const verbatim = new Set([...options].filter(([, text]) => pair.textLower.includes(lower(text))).map(([key]) => key));
  return [
    1,
    ...LETTERS.map((other) => Number(letter === other)),
    options.size,
    Number(letter !== null),
    new Set(named).size,
    Number(letter !== null && !options.has(letter)),
    ...readChoice(pair, options, letter, verbatim, findAgreeing(pair, options)),
    verbatim.size / options.size,
  ];
}

function findOptions(question) {
  const options = new Map();
  for (const line of question.split('\n')) {
    const match = OPTION.exec(line);
    if (match) options.set(match[1], strip(match[2]));
  }
  return options;
}

/** The options whose first number is one of the last three before the conclusion. */
function findAgreeing(pair, options) {
  const last = numbers(pair.text.replace(CONCLUSION, '')).slice(-3);
  const agrees = (text) => numbers(text).slice(0, 1).some((value) => last.some((other) => Math.abs(value - other) <= 1e-3 * Math.max(1, Math.abs(other))));
  return new Set([...options].filter(([, text]) => agrees(text)).map(([key]) => key));
}

function readChoice(pair, options, letter, verbatim, agreeing) {
  const anyNumber = Number(agreeing.size > 0);
  if (letter === null || !options.has(letter)) return [0, 0, 0, 0, 0, 0, anyNumber, 0, 0, 0];
  const overlaps = new Map([...options].map(([key, text]) => [key, overlap(text, pair.textContent)]));
  const bestOther = Math.max(...[...overlaps].filter(([key]) => key !== letter).map(([, value]) => value));
  const lengths = [...options.values()].map((text) => Math.log1p(codePoints(text)));
  const text = options.get(letter);
  const length = Math.log1p(codePoints(text));
  return [
    overlaps.get(letter),
    overlaps.get(letter) - bestOther,
    Number(verbatim.has(letter)),
    length,
    length - lengths.reduce((sum, other) => sum + other, 0) / lengths.length,
    Number(agreeing.has(letter)),
    anyNumber,
    Number(/none|all of|both|cannot/u.test(lower(text))),
    [...options.keys()].indexOf(letter) / options.size,
    Math.log1p(count(pair.text, `${letter})`)),
  ];
}

function overlap(text, content) {
  const about = contentWords(wordsOf(lower(text)));
  return shared(about, content) / Math.max(1, about.size);
}
