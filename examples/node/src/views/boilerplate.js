/** What text view 2 learned from the traffic, view.json (docs/bundle.md, "view.json"). */
import { createHash } from 'node:crypto';
import { BundleError } from '../errors.js';
import { codePoints } from '../text.js';
import { KINDS } from './blocks.js';

const FORMAT = 1;
const MOST_HASHES = 4096;
const LEAST_SENTENCE = 16;
const SENTENCE = /[^\n]*?(?:[.!?:][ ]+|\n|$)/g;

export class LearnedView {
  constructor({ kinds = [], hashes = [], lengths = [], salt = Buffer.alloc(16) } = {}) {
    this.kinds = new Set(kinds);
    this.hashes = new Set(hashes);
    this.lengths = new Set(lengths);
    this.salt = salt;
  }

  /**
   * @param {object} form the content of view.json
   * @throws {BundleError} if it is damaged or of another format
   */
  static parse(form) {
    const { format, kinds, lengths, salt, sentences } = form ?? {};
    if (format !== FORMAT) throw new BundleError(`view.json must have the format ${FORMAT}: got ${format}. Upgrade the router.`);
    const joined = Buffer.from(typeof sentences === 'string' ? sentences : '?', 'base64');
    const isWhole =
      Object.keys(form).length === 5 &&
      Array.isArray(lengths) &&
      lengths.every(Number.isInteger) &&
      Array.isArray(kinds) &&
      kinds.every((kind) => KINDS.includes(kind)) &&
      /^[0-9a-f]{32}$/.test(salt) &&
      joined.toString('base64') === sentences &&
      joined.length % 8 === 0 &&
      joined.length <= 8 * MOST_HASHES;
    if (!isWhole) throw new BundleError('view.json must hold format, kinds, lengths, salt and sentences. Ship the bundle again.');
    const hashes = [];
    for (let at = 0; at < joined.length; at += 8) hashes.push(joined.toString('hex', at, at + 8));
    return new LearnedView({ kinds, hashes, lengths, salt: Buffer.from(salt, 'hex') });
  }

  holds(sentence) {
    if (this.lengths.size > 0 && !this.lengths.has(codePoints(sentence))) return false;
    return this.hashes.has(createHash('sha256').update(this.salt).update(sentence, 'utf8').digest('hex').slice(0, 16));
  }

  /** The places of boilerplate, and of sentences that are repeated; neighbours joined. */
  masked(text, repeated) {
    const places = [];
    for (const [first, after, sentence] of sentences(text)) {
      if (!repeated.has(sentence) && !this.holds(sentence)) continue;
      const last = places.at(-1);
      if (last && !/[^ \t\r\n]/.test(text.slice(last[1], first))) last[1] = after;
      else places.push([first, after]);
    }
    return places;
  }
}

/** The pieces of a text that may be boilerplate: begin, end, and the piece without the white space around it. */
export function* sentences(text) {
  for (const match of text.matchAll(SENTENCE)) {
    const piece = strip(match[0]);
    if (codePoints(piece) >= LEAST_SENTENCE) {
      const start = match.index + match[0].indexOf(piece);
      yield [start, start + piece.length, piece];
    }
  }
}

const isBlank = (text, at) => ' \t\r\n'.includes(text[at]);

/** A text without spaces, tabs and ends of lines around it. */
export function strip(text) {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text, start)) start += 1;
  while (end > start && isBlank(text, end - 1)) end -= 1;
  return text.slice(start, end);
}
