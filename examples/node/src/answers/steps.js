/** Steps of worked maths, `a op b = c`, in one scan (docs/answers.md, "Steps"). */
import { LETTERS, NUMBER, parseNumber } from './scan.js';

const SKIPPED = '$\\u20ac\\u00a3&~`\\u00a0\\u202f';
const TOKEN = new RegExp(`${NUMBER}|[${LETTERS}]+|\\\\[A-Za-z]+|\\*\\*|\\\\[${SKIPPED}]|\\\\?[^ \\t\\r\\f\\v${SKIPPED}]`, 'gu');
const LETTER = new RegExp(`[${LETTERS}]`, 'u');
const PIECE_END = /[.,;:?!](?=[ \n])|\n|\\n(?![a-z])|\\\\(?![A-Za-z])/u;
const ESCAPED = /\\(?=\\[A-Za-z])/gu;
const CONTINUED = /(?:\\\\[ \t]{0,8})?\n[ \t&]*(?=[=\u2248])/gu;
const MOST_UNIT_WORDS = 3;
const LARGEST = 1e15;
const VARIABLES = new Set('abcdefijknopqrtuvwyz');
const ROLES = new Map(
  Object.entries({
    '+': '+',
    '-': '- \u2212 \u2013',
    '*': '* \\* \u00d7 \u00b7 \\times \\cdot',
    '/': '/ \u00f7 \\div',
    '(': '( {',
    ')': ') }',
    '=': '= \u2248 \\approx',
    '%': '% \\%',
    fraction: '\\frac \\dfrac \\tfrac',
    skip: '\\$ \\& \\, \\! \\; \\: \\( \\) \\[ \\] \\left \\right \\quad \\text \\mathrm \\mathbf \\displaystyle',
    unreadable: '^ _ ! \u221a |',
    bold: '**',
  }).flatMap(([role, tokens]) => tokens.split(' ').map((token) => [token, role])),
);
const STRENGTH = { '+': 1, '-': 1, '*': 2, '/': 2, '~': 3 };

/** @returns {{ value: number, isRight: boolean, error: number, isWhole: boolean, operands: number[] }[]} */
export function readSteps(text) {
  const steps = [];
  if (!hasEquals(text)) return steps;
  for (const piece of text.replace(ESCAPED, '').replace(CONTINUED, ' ').split(PIECE_END)) {
    if (!hasEquals(piece)) continue;
    const reader = new Reader(steps);
    for (const token of piece.match(TOKEN) ?? []) reader.read(token);
    reader.end();
  }
  return steps;
}

const hasEquals = (text) => text.includes('=') || text.includes('\u2248') || text.includes('\\approx');

/** The value of an expression, by precedence; null for none. `~` is the minus sign of one number. */
export function evaluate(parts) {
  const values = [];
  const waiting = [];
  for (const part of parts) {
    if (typeof part === 'number') values.push(part);
    else if (part === '(' || part === '~') waiting.push(part);
    else {
      const least = STRENGTH[part] ?? 1;
      while (waiting.length && (STRENGTH[waiting.at(-1)] ?? 0) >= least) if (!apply(waiting.pop(), values)) return null;
      if (part !== ')') waiting.push(part);
      else waiting.pop();
    }
  }
  while (waiting.length) {
    const operator = waiting.pop();
    if (operator !== '(' && !apply(operator, values)) return null;
  }
  return values.length === 1 ? values[0] : null;
}

function apply(operator, values) {
  if (operator === '~') {
    if (values.length) values.push(-values.pop());
    return values.length > 0;
  }
  if (values.length < 2) return false;
  const right = values.pop();
  const left = values.pop();
  if (operator === '/' && right === 0) return false;
  const result = operator === '/' ? left / right : operator === '*' ? left * right : operator === '+' ? left + right : left - right;
  values.push(result);
  return Math.abs(result) < LARGEST;
}

/** What stands between two equals signs, as far as it was read. */
class Side {
  parts = [];
  numbers = []; // as they are written: 20 for 20 %
  hasOperator = false;
  hasPercent = false;
  depth = 0; // brackets that are open
  decimals = 0; // of the number that was written first

  constructor(isReadable = true) {
    this.isReadable = isReadable;
  }

  get value() {
    return this.parts.length && this.isReadable ? evaluate(this.parts) : null;
  }

  /** The number that the side begins with, and its sign. */
  get first() {
    if (!this.isReadable) return null;
    let sign = 1;
    for (const part of this.parts.slice(0, 4)) {
      if (typeof part === 'number') return sign * part;
      if (part === '~') sign = -sign;
      else if (part !== '(') return null;
    }
    return null;
  }

  get endsWithValue() {
    const last = this.parts.at(-1);
    return last === ')' || typeof last === 'number';
  }
}

class Reader {
  #left = null;
  #side = new Side();
  #unitWords = 0;
  #isAfterWord = false;
  #braces = [];

  constructor(steps) {
    this.steps = steps;
  }

  read(token) {
    const role = ROLES.get(token) ?? roleOf(token);
    this.#take(role, token);
    this.#isAfterWord = role === 'word';
  }

  #take(role, token) {
    if (role === 'number') this.#number(token);
    else if (role === 'word') this.#word(token);
    else if (role in STRENGTH) this.#operator(role);
    else if (role === '(') this.#open(token);
    else if (role === ')') this.#close(token);
    else if (role === '=') this.#equals();
    else if (role === '%') this.#percent();
    else if (role === 'fraction') this.#fraction();
    else if (role === 'bold') this.#bold();
    else if (role === 'unreadable') this.#unreadable();
    else if (role === 'stop') this.#break();
  }

  /** Finish the side that is being read, and compare it with the one to the left. */
  end() {
    if (this.#left === null || !this.#side.parts.length) return;
    const step = compare(this.#left, this.#side);
    if (step !== null) this.steps.push(step);
  }

  #break(isReadable = true) {
    this.end();
    this.#left = null;
    this.#side = new Side(isReadable);
    this.#unitWords = 0;
    this.#braces = [];
  }

  #number(token) {
    const value = parseNumber(token);
    if (value === null) return this.#unreadable();
    if (this.#side.endsWithValue) this.#break();
    const side = this.#side;
    if (!side.numbers.length) side.decimals = token.includes('.') ? token.length - 1 - token.indexOf('.') : 0;
    side.parts.push(value);
    side.numbers.push(value);
    this.#unitWords = 0;
  }

  #operator(role) {
    const side = this.#side;
    if (side.endsWithValue) {
      side.parts.push(role);
      side.hasOperator = true;
    } else if (role === '-' && !(this.#isAfterWord && !side.parts.length)) side.parts.push('~');
    else if (!side.parts.length) side.isReadable = false; // what it operates on could not be read
    else this.#break(false);
    this.#unitWords = 0;
  }

  #open(token) {
    const side = this.#side;
    if (token === '{') {
      const brace = this.#braces.at(-1);
      if (brace === 'fraction' || brace === 'divided') {
        const opened = brace === 'fraction' ? ['(', '('] : ['('];
        this.#braces[this.#braces.length - 1] = brace === 'fraction' ? 'numerator' : 'denominator';
        side.parts.push(...opened);
        side.depth += opened.length;
        return;
      }
      this.#braces.push('');
    }
    if (side.endsWithValue) {
      if (this.#unitWords || this.#isAfterWord) this.#break();
      else {
        side.parts.push('*');
        side.hasOperator = true;
      }
    }
    this.#side.parts.push('(');
    this.#side.depth += 1;
    this.#unitWords = 0;
  }

  #close(token) {
    const side = this.#side;
    const kind = token === '}' ? this.#braces.pop() : '';
    if (!side.parts.length) return;
    if (!side.depth || !side.endsWithValue) return this.#break();
    side.parts.push(')');
    side.depth -= 1;
    if (kind === 'numerator') {
      side.parts.push('/');
      side.hasOperator = true;
      this.#braces.push('divided');
    } else if (kind === 'denominator') {
      side.parts.push(')');
      side.depth -= 1;
    }
    this.#unitWords = 0;
  }

  #fraction() {
    if (this.#side.endsWithValue) this.#operator('*');
    this.#braces.push('fraction');
  }

  #equals() {
    const side = this.#side;
    if (!side.parts.length && side.isReadable) return; // nothing between two equals signs
    this.end();
    this.#left = side;
    this.#side = new Side();
    this.#unitWords = 0;
  }

  #percent() {
    const { parts } = this.#side;
    if (typeof parts.at(-1) !== 'number') return;
    parts.push(parts.pop() / 100);
    this.#side.hasPercent = true;
  }

  #word(token) {
    const side = this.#side;
    if ((token === 'x' || token === 'X') && side.endsWithValue && !this.#unitWords) this.#operator('*');
    else if (token === 'of' && side.endsWithValue && (side.hasPercent || side.parts.slice(-6).includes('/'))) this.#operator('*');
    else if (VARIABLES.has(token)) this.#unreadable();
    else if (!side.endsWithValue || this.#unitWords === MOST_UNIT_WORDS) {
      if (side.parts.length || this.#left === null) this.#break();
    } else this.#unitWords += 1;
  }

  #bold() {
    if (this.#side.parts.length) this.#break(!this.#side.endsWithValue);
  }

  #unreadable() {
    this.#left = null;
    this.#side = new Side(false);
    this.#unitWords = 0;
  }
}

function roleOf(token) {
  if (/^(?:[0-9]|\..)/su.test(token)) return 'number';
  if (token[0] === '\\') return /^..[A-Za-z]/su.test(token) ? 'unreadable' : 'stop'; // a command of LaTeX, or a mark
  return LETTER.test(token[0]) ? 'word' : 'stop';
}

function compare(left, right) {
  let written = right.first;
  if (written === null || !left.hasOperator) return null;
  const { value } = left;
  if (value === null) return null;
  const isWhole = Math.abs(value - Math.floor(value + 0.5)) < 1e-9;
  let isRight = isNear(value, written, right.decimals, isWhole);
  if (!isRight && right.hasOperator) {
    const result = right.value;
    if (result === null) return null;
    written = result;
    isRight = Math.abs(value - result) <= Math.max(1e-6, 5e-3 * Math.abs(value));
  }
  isRight ||= Math.abs(value * 100 - written) < 0.51 || Math.abs(value / 100 - written) < 0.01;
  return { value: written, isRight, error: Math.abs(value - written) / (Math.abs(value) + 1e-9), isWhole, operands: left.numbers };
}

/** Whether a number may be the rounded value: half of its last digit, or 0.5 %. */
function isNear(value, written, decimals, isWhole) {
  const rounding = isWhole && !decimals ? 1e-6 : 0.51 * Number(`1e-${decimals}`);
  return Math.abs(value - written) <= Math.max(rounding, decimals ? 5e-3 * Math.abs(value) : 0);
}
