/** From the messages of a request to the one text that is scored, in either view (docs/bundle.md, "From messages to text"). */
import { ScoringError } from './errors.js';
import { LearnedView } from './views/boilerplate.js';
import { marksOf, readMarks } from './views/marks.js';
import { readMessages } from './views/second.js';

const LONE_SURROGATE = /[\ud800-\udfff]/gu; // with the u flag, halves of a pair do not match

/**
 * @param {string | object[]} messages a string is one user message
 * @param {number} maxChars longest text in code points
 * @returns {{ text: string, totalChars: number, length: number, cut: boolean, masked: [string, number][] }} lengths in code points,
 *   of the whole and of `text`; `cut`: whether the middle was left out; `masked`: kinds of context that were, and how much of each
 * @throws {ScoringError} if the messages are malformed
 */
export function textView(messages, maxChars) {
  const text = wellFormed(typeof messages === 'string' ? messages : conversation(messages));
  const totalChars = codePoints(text);
  if (totalChars <= maxChars) return { text, totalChars, length: totalChars, cut: false, masked: [] };
  const half = Math.floor(maxChars / 2);
  return { text: `${head(text, half)}\n${tail(text, half)}`, totalChars, length: 2 * half + 1, cut: true, masked: [] };
}

/**
 * The same in text view 2.
 * @param {LearnedView} learned what the bundle's view.json says of the traffic
 */
export function secondView(messages, maxChars, learned = new LearnedView()) {
  const texts = messageTexts(messages);
  const { front, ask, masked, question } = readMessages(texts, learned, markersOf(messages));
  const totalChars = texts.reduce((sum, [, text]) => sum + codePoints(text), Math.max(0, texts.length - 1));
  const [text, cut] = joined(front, ask, maxChars);
  const counts = [...masked].filter(([, count]) => count > 0).sort(([one], [two]) => (one < two ? -1 : 1));
  return { text, totalChars, length: codePoints(text), cut, masked: counts, question };
}

function joined(front, ask, maxChars) {
  const text = lines([front, ask]);
  if (codePoints(text) <= maxChars) return [text, false];
  const room = maxChars - codePoints(ask);
  if (room <= 0) return [textView(ask, maxChars).text, true];
  const half = Math.floor(room / 2);
  return [`${head(front, half)}\n${tail(front, half)}\n${ask}`, true];
}

function messageTexts(messages) {
  if (typeof messages === 'string') return messages ? [['user', wellFormed(messages)]] : [];
  if (!Array.isArray(messages)) throw new ScoringError('messages must be a string or a list');
  return messages
    .map((message) => ({ text: messageText(message), role: roleOf(message.role) }))
    .filter(({ text }) => text !== '')
    .map(({ role, text }) => [role, wellFormed(text)]);
}

function markersOf(messages) {
  if (typeof messages === 'string') return new Map();
  return readMarks(messages.map((message) => ({ role: roleOf(message.role), text: messageText(message), marks: marksOf(message) })));
}

function roleOf(role) {
  if (role === 'system' || role === 'developer') return 'system';
  if (role === 'tool' || role === 'function') return 'tool';
  return role === 'assistant' ? role : 'user';
}

function conversation(messages) {
  if (!Array.isArray(messages)) throw new ScoringError('messages must be a string or a list');
  return lines(messages.map(messageText));
}

/**
 * The text of one message.
 * @throws {ScoringError} if it is malformed
 */
export function messageText(message) {
  if (!isObject(message)) throw new ScoringError('a message must be an object with role and content');
  return lines([contentText(message.content), ...callTexts(message.tool_calls)]);
}

function contentText(content) {
  if (typeof content === 'string') return content;
  if (content === null || content === undefined) return '';
  if (!Array.isArray(content)) throw new ScoringError('message content must be a string, a list of content parts or null');
  return lines(content.map(partText));
}

function partText(part) {
  if (typeof part === 'string') return part;
  return isObject(part) && typeof part.text === 'string' ? part.text : '';
}

function callTexts(calls) {
  if (calls === null || calls === undefined) return [];
  if (!Array.isArray(calls)) throw new ScoringError('tool_calls must be a list or null');
  return calls.map((call) => {
    const called = isObject(call) ? call.function : null;
    if (!isObject(called)) return '';
    return `${typeof called.name === 'string' ? called.name : ''}(${argumentsText(called.arguments)})`;
  });
}

export function argumentsText(given) {
  if (typeof given === 'string') return given;
  if (given === null || given === undefined) return '';
  return JSON.stringify(withoutLoneSurrogates(given)); // else stringify would write them as six ASCII characters
}

function withoutLoneSurrogates(value) {
  if (typeof value === 'string') return wellFormed(value);
  if (Array.isArray(value)) return value.map(withoutLoneSurrogates);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [wellFormed(key), withoutLoneSurrogates(inner)]));
}

export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
export const lines = (texts) => texts.filter((text) => text !== '').join('\n');
const wellFormed = (text) => text.replace(LONE_SURROGATE, '\ufffd');
const isHigh = (unit) => unit >= 0xd800 && unit < 0xdc00;
const isLow = (unit) => unit >= 0xdc00 && unit < 0xe000;

/** Code points of a well-formed string, whose length counts UTF-16 units. */
export function codePoints(text) {
  let pairs = 0;
  for (let at = 0; at < text.length; at += 1) pairs += isHigh(text.charCodeAt(at));
  return text.length - pairs;
}

/** The first `n` code points of a well-formed string, or all of it. */
export function head(text, n) {
  let end = 0;
  for (let taken = 0; taken < n && end < text.length; taken += 1) end += isHigh(text.charCodeAt(end)) ? 2 : 1;
  return text.slice(0, end);
}

/** The last `n` code points of a well-formed string, or all of it. */
export function tail(text, n) {
  let start = text.length;
  for (let taken = 0; taken < n && start > 0; taken += 1) start -= isLow(text.charCodeAt(start - 1)) ? 2 : 1;
  return text.slice(start);
}
