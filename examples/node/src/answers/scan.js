/** Words of a text by rules that depend on no version of Unicode (docs/bundle.md, "Numbers of the request"). */
import { codePoints, head, tail } from '../text.js';

const LETTERS = 'A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u1fff\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufdff\ufe70-\ufefc';
const WORD = new RegExp(`[${LETTERS}]+`, 'g'); // all of the basic plane: a code point is one unit
const CAPITAL = /[A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0400-\u042f]/g;
const STEM = 6;
const STOP = new Set(
  (
    'the a an of to in on for and or is are was were be it that this with as at by from how many much what which who i you we he she they his her ' +
    'their its do does did can could would if then than so not no me my your there have has had will one each per all any'
  ).split(' '),
);

/** A well-formed text of at most `most` code points as it is; of a longer one the first and last `most / 2`, joined by a newline. */
export function cut(text, most) {
  return codePoints(text) <= most ? text : `${head(text, most / 2)}\n${tail(text, most / 2)}`;
}

/** Code points of any string, lone surrogates too. */
export function lengthOf(text) {
  let n = 0;
  for (const _ of text) n += 1;
  return n;
}

/** The first `n` code points of any string. */
export const startOf = (text, n) => (text.length <= n ? text : Array.from(text.slice(0, 2 * n)).slice(0, n).join(''));

/** A text with the capital letters of ASCII, Latin-1, Greek and Cyrillic made small. */
export function lower(text) {
  return text.replace(CAPITAL, (letter) => {
    const code = letter.charCodeAt(0);
    return String.fromCharCode(code + (code >= 0x400 && code < 0x410 ? 80 : 32));
  });
}

/** The words of a text in order, in small letters. */
export const words = (text) => lower(text).match(WORD) ?? [];

/** The stem of each word in small letters that has more than two and says something. */
export function contentWords(found) {
  return new Set(found.filter((word) => word.length > 2 && !STOP.has(word)).map((word) => word.slice(0, STEM)));
}
