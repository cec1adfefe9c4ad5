/** Words and numbers of a text, and the answer that it states (docs/answers.md, "Texts"). Places are in UTF-16 units, lengths in code points. */

/** Letters as the inside of a class: all of the basic plane. */
export const LETTERS = 'A-Za-z\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u1fff\\u2c00-\\u2dff\\u3040-\\ud7ff\\uf900-\\ufdff\\ufe70-\\ufefc';
/** A number without its sign: commas only between thousands. */
export const NUMBER = '(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\\.[0-9]+)?|\\.[0-9]+';
export const SPACE = ' \t\n\r\f\v';
const LARGEST = 1e15;
const LONGEST_NUMBER = 40;
const STEM = 6;
const STOP = new Set(
  ('the a an of to in on for and or is are was were be it that this with as at by from how many much what which who i you we he she they his her their its do does did can could would if' +
    ' then than so not no me my your there have has had will one each per all any').split(' '),
);
const WORD = new RegExp(`[${LETTERS}]+`, 'gu');
const NUMBERS = new RegExp(NUMBER, 'gu');
const ENDS_OPERAND = new RegExp(`^[0-9${LETTERS})\\]}]`, 'u');
const CAPITAL = /[A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0400-\u042f]/gu;
const DIGIT = /[\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\uff10-\uff19]/gu;
const ZEROS = [0x660, 0x6f0, 0x966, 0x9e6, 0xff10];

export const isAscii = (text) => /^[\x00-\x7f]*$/.test(text);

export function codePoints(text) {
  let length = 0;
  for (let place = 0; place < text.length; place += width(text, place)) length += 1;
  return length;
}

/** The first code points of a text. */
export function head(text, most) {
  let place = 0;
  for (let taken = 0; taken < most && place < text.length; taken += 1) place += width(text, place);
  return text.slice(0, place);
}

const width = (text, place) => (text.codePointAt(place) > 0xffff ? 2 : 1);

/** A longer text keeps its first and last half, joined by a newline. */
export function cut(text, most) {
  if (text.length <= most || codePoints(text) <= most) return text;
  const half = Math.floor(most / 2);
  return `${head(text, half)}\n${tail(text, half)}`;
}

function tail(text, most) {
  let place = text.length;
  for (let taken = 0; taken < most && place > 0; taken += 1) {
    place -= 1;
    if (place > 0 && text.codePointAt(place - 1) > 0xffff) place -= 1;
  }
  return text.slice(place);
}

export function strip(text) {
  let start = 0;
  while (start < text.length && SPACE.includes(text[start])) start += 1;
  return stripEnd(text.slice(start));
}

export function stripEnd(text) {
  let end = text.length;
  while (end > 0 && SPACE.includes(text[end - 1])) end -= 1;
  return text.slice(0, end);
}

/** Small letters: capitals of ASCII, Latin-1, Greek and Cyrillic alone. */
export function lower(text) {
  if (isAscii(text)) return text.toLowerCase();
  return text.replace(CAPITAL, (capital) => {
    const code = capital.charCodeAt(0);
    return String.fromCharCode(code + (code >= 0x400 && code < 0x410 ? 80 : 32));
  });
}

export function plainDigits(text) {
  if (isAscii(text)) return text;
  return text.replace(DIGIT, (digit) => {
    const code = digit.charCodeAt(0);
    return String.fromCharCode(48 + code - ZEROS.find((zero) => code >= zero && code < zero + 10));
  });
}

/** @returns {number | null} null for no quantity */
export function parseNumber(digits) {
  if (digits.length > LONGEST_NUMBER) return null;
  const value = Number(digits.replaceAll(',', ''));
  return value < LARGEST ? value : null;
}

/** @returns {{ start: number, end: number, value: number }[]} */
export function placeNumbers(text) {
  const places = [];
  for (const match of text.matchAll(NUMBERS)) {
    let value = parseNumber(match[0]);
    if (value === null) continue;
    let start = match.index;
    if (text[start - 1] === '$') start -= 1;
    if (text[start - 1] === '-' && !ENDS_OPERAND.test(text[start - 2] ?? '')) {
      start -= 1;
      value = -value;
    }
    places.push({ start, end: match.index + match[0].length, value });
  }
  return places;
}

export const numbers = (text) => placeNumbers(text).map(({ value }) => value);

export const words = (text) => wordsOf(lower(text));

export const wordsOf = (textLower) => textLower.match(WORD) ?? [];

/** Stems of the words that say something. */
export const contentWords = (words) => new Set(words.filter((word) => word.length > 2 && !STOP.has(word)).map((word) => word.slice(0, STEM)));

export const count = (text, part) => text.split(part).length - 1;

export const shared = (one, other) => [...one].filter((item) => other.has(item)).length;

export const WAYS = ['hash', 'box', 'json', 'bracket', 'words', 'number', 'none'];
const LONGEST_BOX = 200;
const BOX = '\\boxed{';
const HASH = /####[ \t]*([^\n]+)/dgu;
const JSON_ANSWER = /"answer"[ \t\n]{0,20}:[ \t\n]{0,20}"?([^"\n}]*)/dgu;
const BRACKET = /\[(Yes|No|[A-J])\]/dgu;
const WORDS = /(?:answer|result)(?: is| would be| should be| =|:)+[ \t]{0,8}\*{0,4}[ \t]{0,8}([^\n]{1,60})/dgu;

const spans = (text, pattern) => [...text.matchAll(pattern)].map((match) => match.indices[1]);

const READERS = [
  ['hash', (text) => spans(text, HASH)],
  ['box', spansInBoxes],
  ['json', (text) => spans(text, JSON_ANSWER)],
  ['bracket', (text) => spans(text, BRACKET)],
  ['words', (text, textLower) => spans(textLower, WORDS)],
];

/** The last answer that a text states in the first way that it uses. */
export function findStated(text, textLower, places) {
  for (const [way, read] of READERS) {
    const found = read(text, textLower);
    if (!found.length) continue;
    const pieces = found.map(([start, end]) => strip(text.slice(start, end)));
    return stated(way, pieces.at(-1), found.at(-1)[0], new Set(pieces).size);
  }
  if (!places.length) return stated('none', '', 0, 0);
  const { start, end } = places.at(-1);
  return stated('number', text.slice(start, end), start, 1);
}

const stated = (way, text, start, different) => ({ way, text, start, different, number: numbers(text)[0] ?? null });

function spansInBoxes(text) {
  const found = [];
  for (let start = text.indexOf(BOX); start >= 0; start = text.indexOf(BOX, start)) {
    start += BOX.length;
    const end = closingBrace(text, start);
    if (end !== null) found.push([start, end]);
  }
  return found;
}

function closingBrace(text, start) {
  let depth = 1;
  for (let place = start, taken = 0; place < text.length && taken <= LONGEST_BOX; place += width(text, place), taken += 1) {
    if (text[place] === '{') depth += 1;
    if (text[place] === '}') depth -= 1;
    if (depth === 0) return place;
  }
  return null;
}
