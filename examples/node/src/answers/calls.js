/** The calls of functions that an answer makes, however it writes them (docs/answers.md, "The calls"). */
import { isName, Reader, Unreadable } from './literals.js';
import { codePoints, strip } from './scan.js';

const MOST_CALLS = 64;
const MOST_ARGUMENTS = 65536;
const MOST_TRIES = 8;
const MARK = '<tool_call>';
const END_MARK = '</tool_call>';
const NAME = '[A-Za-z_\\u0080-\\u{10ffff}][A-Za-z0-9_.\\u0080-\\u{10ffff}]*';
const SPACES = '[ \\t\\n\\r\\f\\v]*';
const LISTED = new RegExp(`^${SPACES}\\[${SPACES}${NAME}\\(`, 'u');
const BEGINNING = new RegExp(
  `(?<list>\\[)${SPACES}(?<first>${NAME})\\(|(?<=^|\\n)[ \\t\`]*(?<line>${NAME})\\(` +
    `|(?<object>\\{)${SPACES}"(?:name|arguments|parameters|function|tool_calls|type)"`,
  'dgu',
);
const OPENING = new RegExp(`^${SPACES}(?:\`\`\`[A-Za-z]*${SPACES})?`);
const ENDS = /[ \t`;]*(?:\n|$)/y;
const FENCE = /```[A-Za-z]*/g;

/** A name with every mark made an underscore. */
export const plainName = (name) => name.replace(/[^A-Za-z0-9]/gu, '_');

/**
 * @param {import('./pair.js').Pair} pair
 * @param {Map<string, unknown>} offered by plain name
 * @returns {{ read: object[], failed: number, prose: number }} a call: `name`, `arguments` (a map, null where they are no
 *   object), `isStrict`, `expressions`, `nestedCalls`; `prose`: code points outside of the calls
 */
export function readCalls(pair, offered) {
  const toolCalls = pair.answer.toolCalls ?? [];
  if (toolCalls.length > 0) return { read: firstOf(toolCalls).map(readToolCall), failed: 0, prose: codePoints(strip(pair.text)) };
  return pair.text.includes(MARK) ? readMarked(pair.text) : readProse(pair.text, offered);
}

const call = (name, given, { isStrict = true, expressions = 0, nestedCalls = 0 } = {}) => ({ name, arguments: given, isStrict, expressions, nestedCalls });
const unreadable = (name) => call(name, null, { isStrict: false });

function firstOf(toolCalls) {
  const kept = [];
  let left = MOST_ARGUMENTS;
  for (const toolCall of toolCalls.slice(0, MOST_CALLS)) {
    left -= codePoints(toolCall.arguments);
    if (left < 0) break;
    kept.push(toolCall);
  }
  return kept;
}

function readToolCall({ name, arguments: text }) {
  if (strip(text) === '') return call(name, new Map()); // as some servers write a call without arguments
  return readArguments(name, text);
}

function readArguments(name, text) {
  return orUnreadable(
    () => {
      const reader = new Reader(text);
      const value = reader.value();
      return value instanceof Map && reader.token === '' ? call(name, value, reader) : unreadable(name);
    },
    () => unreadable(name),
  );
}

function orUnreadable(read, other) {
  try {
    return read();
  } catch (error) {
    if (error instanceof Unreadable) return other();
    throw error;
  }
}

function readMarked(text) {
  const [before, ...parts] = text.split(MARK);
  const calls = [];
  let [failed, prose] = [0, codePoints(strip(before))];
  for (const part of parts) {
    const end = part.indexOf(END_MARK);
    const [inside, after] = end < 0 ? [part, ''] : [part.slice(0, end), part.slice(end + END_MARK.length)];
    prose += codePoints(strip(after));
    failed += Number(!readSegment(inside, calls));
  }
  return { read: calls.slice(0, MOST_CALLS), failed, prose };
}

/** Reads the calls between two marks; says whether all that stands there is calls. */
function readSegment(text, calls) {
  const known = calls.length;
  const isWhole = orUnreadable(
    () => {
      const reader = new Reader(text);
      while (reader.token !== '') {
        if ((reader.token !== '{' && reader.token !== '[') || LISTED.test(text)) {
          readInvocations(reader, calls);
        } else {
          const before = calls.length;
          readJson(reader, calls);
          if (calls.length === before) return false;
        }
        if (reader.token === ',') reader.advance();
      }
      return true;
    },
    () => false,
  );
  return isWhole && calls.length > known;
}

/** The calls that stand somewhere in a text. */
function readProse(text, offered) {
  const calls = [];
  let [failed, prose, tries, end] = [0, 0, 0, 0];
  const first = OPENING.exec(text)[0].length;
  for (const { groups, indices } of text.matchAll(BEGINNING)) {
    const [begin] = indices.groups.list ?? indices.groups.line ?? indices.groups.object;
    const name = groups.first ?? groups.line;
    const isKnown = name === undefined || offered.has(plainName(name));
    // A text may open with any call; further on, parentheses behind a word are mostly prose.
    if (begin < end || !(isKnown || begin === first) || tries === MOST_TRIES) continue;
    tries += 1;
    const reader = new Reader(text, begin);
    const known = calls.length;
    const isRead = orUnreadable(
      () => {
        (name === undefined ? readJson : readInvocations)(reader, calls);
        return true;
      },
      () => false,
    );
    ENDS.lastIndex = reader.position;
    if (!(isKnown || groups.list || (isRead && ENDS.test(text)))) {
      calls.length = known;
      continue;
    }
    if (isRead && calls.length === known) continue;
    failed += Number(!isRead);
    prose += outside(text.slice(end, begin));
    end = reader.position;
  }
  return { read: calls.slice(0, MOST_CALLS), failed, prose: prose + outside(text.slice(end)) };
}

const outside = (text) => codePoints(strip(text.replace(FENCE, '')));

/** Reads Python calls, a list of them or some with commas between; the list's end may be missing. */
function readInvocations(reader, calls) {
  const isList = reader.token === '[';
  if (isList) reader.advance();
  for (;;) {
    const { expressions, nestedCalls } = reader;
    const { name, arguments: given } = reader.invocation();
    calls.push(call(name, given, { expressions: reader.expressions - expressions, nestedCalls: reader.nestedCalls - nestedCalls }));
    const goesOn = isList || reader.token === ',';
    if (reader.token === ',') reader.advance();
    if (isList && reader.token === ']') {
      reader.advance();
      return;
    }
    if (!(goesOn && isName(reader.token))) return;
  }
}

/** Reads the calls that the next object or list describes. */
function readJson(reader, calls) {
  const { expressions, nestedCalls } = reader;
  for (const described of callsOf(reader.container())) {
    described.isStrict &&= reader.isStrict;
    described.expressions += reader.expressions - expressions;
    described.nestedCalls += reader.nestedCalls - nestedCalls;
    calls.push(described);
  }
}

function callsOf(value) {
  const calls = [];
  for (const form of Array.isArray(value) ? value : [value]) {
    if (!(form instanceof Map)) continue;
    const listed = form.get('tool_calls');
    if (Array.isArray(listed)) {
      calls.push(...callsOf(listed.filter((part) => part instanceof Map && !part.has('tool_calls'))));
      continue;
    }
    const inner = form.get('function');
    const object = inner instanceof Map ? inner : form;
    const name = object.has('name') ? object.get('name') : inner;
    const key = ['arguments', 'parameters'].find((word) => object.has(word));
    if (typeof name === 'string' && (key !== undefined || inner instanceof Map)) calls.push(ofArguments(name, key === undefined ? null : object.get(key)));
  }
  return calls;
}

function ofArguments(name, given) {
  if (typeof given === 'string') return readArguments(name, given);
  if (given === null) return call(name, new Map());
  return call(name, given instanceof Map ? given : null);
}
