/** A reader of what models write as arguments: JSON, Python literals and calls (docs/answers.md, "The grammar"). */
import { SPACE } from './scan.js';

const DEEPEST = 32;
const TOKEN = new RegExp(
  '[ \\t\\n\\r\\f\\v]*(?:' +
    // A text that is never closed goes to the end, so that no quote is looked for twice.
    '"[^"\\\\]*(?:\\\\(?:.|$)[^"\\\\]*)*("|$)' +
    "|'[^'\\\\]*(?:\\\\(?:.|$)[^'\\\\]*)*('|$)" +
    '|[-+]?(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:[eE][-+]?[0-9]+)?' +
    '|[A-Za-z_\\u0080-\\u{10ffff}][A-Za-z0-9_.\\u0080-\\u{10ffff}]*' +
    '|.)',
  'suy',
);
const NAME = /^[A-Za-z_\u0080-\u{10ffff}]/u;
const NUMBER = /^[-+]?\.?[0-9]/;
const STRICT_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$/;
const ESCAPE = /\\(u[0-9A-Fa-f]{4}|.)/gsu;
const ESCAPED = new Map([...'"\'\\/'].map((mark) => [mark, mark]).concat([['n', '\n'], ['t', '\t'], ['r', '\r'], ['b', '\b'], ['f', '\f']]));
const ASSIGNED = /[ \t\n\r\f\v]*=(?!=)/y;
const CONTROL = /[\x00-\x1f]/;
const LONE_SURROGATE = /[\ud800-\udfff]/gu;
const CONSTANTS = new Map([['true', true], ['false', false], ['null', null]]);
const PYTHON_CONSTANTS = new Map([['True', true], ['False', false], ['None', null]]);
const CLOSERS = new Map([['[', ']'], ['(', ')'], ['{', '}']]);
const NO_LITERAL = Symbol('no literal');

export const isName = (token) => NAME.test(token);

/** What is written is neither JSON, nor a Python literal or call. */
export class Unreadable extends Error {}

/**
 * Reads values from a text, one after the other: objects as maps, lists as arrays, and the text of what is no literal.
 * `token` is the next token, empty at the end; `position` is where the last token that was read ends.
 */
export class Reader {
  #text;
  #end;
  #closes = false;
  #depth = 0;

  constructor(text, start = 0) {
    this.isStrict = true;
    this.expressions = 0;
    this.nestedCalls = 0;
    this.token = '';
    this.#text = text;
    this.#end = start;
    this.advance();
  }

  /** The next token; goes to the one after it. */
  advance() {
    const token = this.token;
    this.position = this.#end;
    TOKEN.lastIndex = this.#end;
    const match = TOKEN.exec(this.#text);
    if (match === null) {
      this.token = '';
    } else {
      this.#end += match[0].length;
      this.token = stripStart(match[0]);
      this.#closes = Boolean(match[1] ?? match[2]);
    }
    return token;
  }

  /** The next value, whatever stands behind it up to a comma or a closing bracket counted in. */
  value() {
    if ([',', ':', '', ']', ')', '}', '='].includes(this.token)) throw new Unreadable();
    const begin = this.#end - this.token.length;
    const calls = this.nestedCalls;
    const value = this.#literal();
    if (value !== NO_LITERAL && [',', '', ']', ')', '}'].includes(this.token)) return value;
    this.nestedCalls = calls + Number(this.#skip());
    this.expressions += 1;
    this.isStrict = false;
    return this.#text.slice(begin, this.position);
  }

  /** A list or an object; nothing is read behind it. */
  container() {
    const opener = this.advance();
    if (!CLOSERS.has(opener) || this.#depth === DEEPEST) throw new Unreadable();
    this.#depth += 1;
    const value = opener === '{' ? this.#object() : this.#list(CLOSERS.get(opener));
    this.#depth -= 1;
    return value;
  }

  /** A call, as `{ name, arguments }`; nothing is read behind it. */
  invocation() {
    if (!isName(this.token)) throw new Unreadable();
    const name = this.advance();
    if (this.advance() !== '(') throw new Unreadable();
    const given = new Map();
    while (this.token !== ')') {
      let key = String(given.size);
      ASSIGNED.lastIndex = this.#end;
      if (isName(this.token) && ASSIGNED.test(this.#text)) {
        key = this.advance();
        this.advance();
      }
      given.set(key, this.value());
      if (this.token === ',') this.advance();
      else if (this.token !== ')') throw new Unreadable();
    }
    this.advance();
    return { name, arguments: given };
  }

  #literal() {
    const { token } = this;
    if (isQuote(token)) return this.#string();
    if (CLOSERS.has(token)) return this.container();
    if (NUMBER.test(token)) return this.#number();
    if (CONSTANTS.has(token)) return CONSTANTS.get(this.advance());
    if (!PYTHON_CONSTANTS.has(token)) return NO_LITERAL;
    this.isStrict = false;
    return PYTHON_CONSTANTS.get(this.advance());
  }

  #object() {
    const parts = new Map();
    while (this.token !== '}') {
      const key = this.#key();
      if (this.advance() !== ':') throw new Unreadable();
      parts.set(key, this.value());
      this.#separate('}');
    }
    this.advance();
    return parts;
  }

  #key() {
    if (isQuote(this.token)) return this.#string();
    this.isStrict = false;
    if (isName(this.token) || NUMBER.test(this.token)) return this.advance();
    throw new Unreadable();
  }

  #list(closer) {
    if (closer !== ']') this.isStrict = false;
    const parts = [];
    let endsWithComma = false;
    while (this.token !== closer) {
      parts.push(this.value());
      endsWithComma = this.#separate(closer);
    }
    this.advance();
    return closer === ')' && parts.length === 1 && !endsWithComma ? parts[0] : parts; // parentheses around one value only group
  }

  /** Steps over the comma between two parts; says whether there was one. */
  #separate(closer) {
    if (this.token === closer) return false;
    if (this.advance() !== ',') throw new Unreadable();
    if (this.token === closer) this.isStrict = false;
    return true;
  }

  #string() {
    const parts = [];
    while (isQuote(this.token)) {
      if (!this.#closes) throw new Unreadable();
      if (parts.length > 0 || this.token[0] !== '"') this.isStrict = false;
      parts.push(this.#unescape(this.advance().slice(1, -1)));
    }
    return parts.join('');
  }

  #unescape(text) {
    if (CONTROL.test(text)) this.isStrict = false;
    if (!text.includes('\\')) return text;
    return text.replace(ESCAPE, (whole, mark) => this.#escaped(whole, mark)).replace(LONE_SURROGATE, '\ufffd');
  }

  #escaped(whole, mark) {
    if (mark.length === 5) return String.fromCharCode(Number.parseInt(mark.slice(1), 16));
    if (!ESCAPED.has(mark) || mark === "'") this.isStrict = false;
    return ESCAPED.get(mark) ?? whole;
  }

  #number() {
    const token = this.advance();
    if (!STRICT_NUMBER.test(token)) this.isStrict = false;
    return Number(token);
  }

  /** Steps to the comma or bracket that ends a value; says whether a call stands there. */
  #skip() {
    let [depth, before, hasCall] = [0, '', false];
    while (this.token !== '' && !(depth === 0 && [',', ')', ']', '}'].includes(this.token))) {
      if (CLOSERS.has(this.token)) {
        hasCall ||= this.token === '(' && isName(before);
        depth += 1;
      } else if ([')', ']', '}'].includes(this.token)) {
        depth -= 1;
      }
      before = this.advance();
    }
    return hasCall;
  }
}

const isQuote = (token) => token[0] === '"' || token[0] === "'";

function stripStart(text) {
  let start = 0;
  while (start < text.length && SPACE.includes(text[start])) start += 1;
  return text.slice(start);
}
