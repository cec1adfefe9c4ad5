/** Text view 2: the ask of a request, with so much of what stands around it as the model knows (docs/bundle.md, "Text view 2"). */
import { codePoints, head, tail } from '../text.js';
import { asks, findAsk } from './asking.js';
import { findBlocks } from './blocks.js';
import { sentences, strip } from './boilerplate.js';
import { findWordings, withPlainLetters } from './manners.js';

const MOST_SCANNED = 65536;
const KNOWN_CONTEXT = 600;
const SHORT_ASK = 24;
const SHORT_CONTEXT = 200;
const MOST_BESIDE = 120;
const MOST_QUOTED = 2500;
const SILENT = new Set(['courtesy']);
const UNREAD = new Set(['reminder', 'blob', 'house', ...SILENT]);
const MAY_ASK = new Set(['passage', 'block', 'mail']);
const WORTHLESS_ALONE = new Set([...UNREAD, 'system', 'manner']);
const LEAST_LEFT = 12;
const SAYS = /[0-9A-Za-z\u0080-\u{10ffff}]/gu;

/**
 * @param {[string, string][]} texts role and text of each message that has some, well formed
 * @param {LearnedView} learned
 * @param {Map<string, string>} [markers] what is there beside words, by kind (marks.js)
 * @returns {{ front: string, ask: string, masked: Map<string, number>, question: string }} `question`: the ask without any context
 */
export function readMessages(texts, learned, markers = new Map()) {
  const masked = new Map([...markers.keys()].map((kind) => [kind, 0]));
  const asking = placeOfAsk(texts);
  const repeated = repeatedIn(texts.slice(0, Math.max(asking, 0)).filter(([role]) => role === 'user'));
  const asked = texts.length > 0 ? piecesOf(texts[asking][1], 'user', learned, repeated) : [];
  const own = asked.reduce((sum, piece) => sum + (piece.kind ? 0 : codePoints(piece.text)), 0);
  const budget = new Budget(own, learned, masked);
  const ask = budget.write(asked);
  const around = [];
  for (let at = texts.length - 1; at >= 0; at -= 1) {
    if (at === asking) continue;
    const [role, text] = texts[at];
    const kind = role === 'system' || role === 'tool' ? role : 'turns';
    const pieces = kind === 'system' && learned.kinds.has(kind) ? piecesOf(text, role, learned, repeated) : [{ text, kind }];
    around.push(budget.write(pieces));
  }
  const question = asked.length === 1 ? asked[0].text : asked.map((piece) => (piece.kind ? '' : strip(piece.text))).filter(Boolean).join('\n');
  const known = [...markers].filter(([kind]) => learned.kinds.has(kind)).map(([, marker]) => marker);
  return { front: [...known, ...around.reverse()].filter(Boolean).join('\n'), ask, masked, question };
}

function placeOfAsk(texts) {
  const last = texts.findLastIndex(([role]) => role === 'user');
  return last < 0 ? texts.length - 1 : last;
}

function repeatedIn(earlier) {
  const counts = new Map();
  for (const [, text] of earlier) {
    const own = new Set();
    for (const [, , sentence] of sentences(bounded(text))) own.add(sentence);
    for (const sentence of own) counts.set(sentence, (counts.get(sentence) ?? 0) + 1);
  }
  return new Set([...counts].filter(([, count]) => count > 1).map(([sentence]) => sentence));
}

function bounded(text) {
  return codePoints(text) <= MOST_SCANNED ? text : `${head(text, MOST_SCANNED / 2)}\n${tail(text, MOST_SCANNED / 2)}`;
}

function piecesOf(whole, role, learned, repeated) {
  const text = bounded(whole);
  let pieces = cut(text, findBlocks(text, role === 'system'));
  if (role === 'user') pieces = withoutWordings(pieces).flatMap(parted);
  if (learned.hashes.size > 0 || repeated.size > 0) pieces = pieces.flatMap((piece) => withoutBoilerplate(piece, learned, repeated));
  if (role !== 'user') return pieces.some((piece) => piece.kind) ? pieces : [{ text, kind: '' }];
  pieces = withQuotedAsk(pieces);
  if (pieces.every((piece) => !piece.kind) || !saysEnough(pieces)) return [{ text: withPlainLetters(text), kind: '' }];
  return pieces.map((piece) => (piece.kind ? piece : { text: withPlainLetters(piece.text), kind: '' }));
}

function withoutWordings(pieces) {
  const first = pieces.findIndex(isSaid);
  const last = pieces.findLastIndex(isSaid);
  const parts = pieces.flatMap((piece, place) => {
    if (first < 0 || (place !== first && place !== last)) return [piece];
    const cuts = [];
    let at = 0;
    for (const [start, end, kind] of findWordings(piece.text, { head: place === first, tail: place === last })) {
      cuts.push({ text: piece.text.slice(at, start), kind: '' }, { text: piece.text.slice(start, end), kind });
      at = end;
    }
    return [...cuts, { text: piece.text.slice(at), kind: '' }];
  });
  const isTold = parts.some((piece) => piece.kind === 'manner');
  if (!isTold || asks(leftOf(parts))) return parts;
  return parts.map((piece) => (piece.kind === 'manner' ? { ...piece, kind: '' } : piece));
}

const isSaid = (piece) => !piece.kind && strip(piece.text) !== '';
const leftOf = (pieces) => strip(pieces.map((piece) => (piece.kind ? '' : piece.text)).join(''));

function withQuotedAsk(pieces) {
  if (!pieces.some((piece) => MAY_ASK.has(piece.kind))) return pieces;
  const left = leftOf(pieces);
  if (codePoints(left) > MOST_BESIDE || asks(left)) return pieces;
  const isAsk = ({ text, kind }) => MAY_ASK.has(kind) && codePoints(text) <= MOST_QUOTED && asks(text);
  return pieces.map((piece) => (isAsk(piece) ? { text: piece.text, kind: '' } : piece));
}

function cut(text, blocks) {
  const pieces = [];
  let at = 0;
  for (const { start, end, kind } of blocks) {
    pieces.push({ text: text.slice(at, start), kind: '' }, { text: text.slice(start, end), kind });
    at = end;
  }
  return [...pieces, { text: text.slice(at), kind: '' }];
}

function parted(piece) {
  const spans = piece.kind ? null : findAsk(piece.text);
  if (spans === null) return [piece];
  const pieces = [];
  let at = 0;
  for (const [start, end] of spans) {
    pieces.push({ text: piece.text.slice(at, start), kind: 'text' }, { text: piece.text.slice(start, end), kind: '' });
    at = end;
  }
  return [...pieces, { text: piece.text.slice(at), kind: 'text' }];
}

function withoutBoilerplate(piece, learned, repeated) {
  if (piece.kind) return [piece];
  const pieces = [];
  let at = 0;
  for (const [start, end] of learned.masked(piece.text, repeated)) {
    pieces.push({ text: piece.text.slice(at, start), kind: '' }, { text: piece.text.slice(start, end), kind: 'house' });
    at = end;
  }
  return [...pieces, { text: piece.text.slice(at), kind: '' }];
}

function saysEnough(pieces) {
  return (leftOf(pieces).match(SAYS)?.length ?? 0) >= LEAST_LEFT;
}

/** Writes pieces, and knows how much of context may be written yet. */
class Budget {
  constructor(own, learned, masked) {
    this.kinds = learned.kinds;
    this.known = Math.max(KNOWN_CONTEXT, own);
    this.any = own < SHORT_ASK ? SHORT_CONTEXT : 0;
    this.masked = masked;
  }

  write(pieces) {
    if (pieces.length === 1 && !pieces[0].kind) return pieces[0].text;
    return pieces
      .map((piece) => (piece.kind ? this.context(piece) : strip(piece.text)))
      .filter(Boolean)
      .join('\n');
  }

  context({ text: whole, kind }) {
    const text = strip(whole);
    if (!text) return '';
    const length = codePoints(text);
    if (SILENT.has(kind)) {
      this.masked.set(kind, (this.masked.get(kind) ?? 0) + length);
      return '';
    }
    const isKnown = this.kinds.has(kind);
    const shown = Math.min(this.room(kind, isKnown), length);
    this.masked.set(kind, (this.masked.get(kind) ?? 0) + length - shown);
    if (isKnown) this.known -= shown;
    else this.any -= shown;
    const half = Math.floor(shown / 2);
    const words = shown === length ? text : half > 0 ? `${head(text, half)}\n${tail(text, half)}` : '';
    const marker = isKnown ? `[${kind} ${Math.max(1, length.toString(2).length - 7)}]` : '';
    return [marker, words].filter(Boolean).join('\n');
  }

  room(kind, isKnown) {
    if (isKnown) return UNREAD.has(kind) ? 0 : this.known;
    return WORTHLESS_ALONE.has(kind) ? 0 : this.any;
  }
}
