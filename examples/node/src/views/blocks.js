/** Blocks of a text that say nothing about the ask (docs/bundle.md, "Blocks"). Places are in UTF-16 units, sizes in code points. */
import { codePoints } from '../text.js';

export const KINDS = ['system', 'turns', 'tool', 'reminder', 'passage', 'block', 'text', 'mail', 'trace', 'code', 'table', 'json', 'blob', 'house', 'courtesy', 'manner', 'image', 'audio', 'video', 'file', 'step'];
export const LEAST_SCANNED = 400;
const LEAST_TAGGED = 120;
const LEAST_CODE = 1200;
const LEAST_DATA = 400;
const LEAST_QUOTED = 200;
const QUOTE = '\n>';
const LEAST_BLOB = 200;
const LEAST_ROWS = 6;
const LEAST_FRAMES = 3;
const MOST_UNCLOSED = 32;

const TAG = /<([A-Za-z][0-9A-Za-z_.:-]{0,39})(?:[ \n][^<>]{0,200})?>/gu;
const CLOSE = /<\/([A-Za-z][0-9A-Za-z_.:-]{0,39})>/g;
const ASKS = /^(?:ask|goal|input|instruction|instructions|message|problem|prompt|query|question|request|task|text|(?:user|human|current|final|my)[-_.:]?[0-9a-z_.:-]*)$/;
const REMINDS = /remind|system|note|rule|policy|env|config|setting|memory|guideline|hook/;
const PASSES = /context|doc|source|passage|retriev|search|file|content|page|article|data|knowledge|result|chunk|snippet|excerpt|reference|evidence|background|quote|attach/;
const FENCE = /^[ ]{0,3}(```+|~~~+)/;
const BLOB = /[0-9A-Za-z+/=_-]{200,}/g;
const QUOTED = /^[ ]{0,3}>/;
const MAIL = /^(?:-{2,}[ ]?(?:Original Message|Forwarded message)|On [^\n]{5,200} wrote:[ ]*$|Begin forwarded message:)/u;
const FRAME =
  /^[ \t]*(?:at [^ \n]+[ (.:]|at [^ \n]+$|File "[^"\n]+", line [0-9]|Traceback \(|Caused by: |\.\.\. [0-9]+ more|goroutine [0-9]|#[0-9]+[ ]{1,3}[^ \n])/;
const INSIDE = /^(?:[ ]{4}|\t)[ \t]*[^ \t\n]/;
const OPENS = /^[ \t]*[[{]/;
const BRACKET = /[[\]{}]/g;
const RUNS = [
  ['mail', (line) => QUOTED.test(line), (line) => QUOTED.test(line)],
  ['trace', (line) => FRAME.test(line), (line) => FRAME.test(line) || INSIDE.test(line)],
];

/** The blocks of a text in order: `{ start, end, kind }`, none inside another. */
export function findBlocks(text, schemas) {
  const blocks = text.includes('</') ? tagged(text) : [];
  if (codePoints(text) < (text.includes(QUOTE) ? LEAST_QUOTED : LEAST_SCANNED)) return blocks;
  const ends = [0, ...blocks.map((block) => block.end)];
  const starts = [...blocks.map((block) => block.start), text.length];
  ends.forEach((end, index) => {
    const between = text.slice(end, starts[index]);
    if (codePoints(between) >= LEAST_QUOTED) blocks.push(...lined(between, end, schemas));
  });
  return blocks.sort((one, two) => one.start - two.start);
}

function tagged(text) {
  const blocks = [];
  const closes = new Map(); // looked for once: a search from each tag would read a text of nothing but tags over and over
  for (const found of text.matchAll(CLOSE)) {
    if (!closes.has(found[1])) closes.set(found[1], { places: [], next: 0 });
    closes.get(found[1]).places.push(found.index);
  }
  const unclosed = new Set();
  let at = 0;
  while (unclosed.size < MOST_UNCLOSED) {
    TAG.lastIndex = at;
    const tag = TAG.exec(text);
    if (!tag) break;
    const name = tag[1];
    at = TAG.lastIndex;
    if (unclosed.has(name)) continue;
    const ahead = closes.get(name) ?? { places: [], next: 0 };
    while (ahead.places[ahead.next] < at) ahead.next += 1;
    const close = ahead.places[ahead.next];
    if (close === undefined) {
      unclosed.add(name);
      continue;
    }
    const kind = kindOf(name.toLowerCase());
    if (kind === null || codePoints(text.slice(at, close)) < LEAST_TAGGED) continue;
    at = close + name.length + 3;
    blocks.push({ start: tag.index, end: at, kind });
  }
  return blocks;
}

function kindOf(name) {
  if (REMINDS.test(name)) return 'reminder';
  if (ASKS.test(name)) return null;
  return PASSES.test(name) ? 'passage' : 'block';
}

function lined(text, offset, schemas) {
  const blocks = [];
  const lines = text.split('\n');
  const sizes = lines.map(codePoints);
  const starts = [offset];
  for (const line of lines) starts.push(starts.at(-1) + line.length + 1);
  const size = (row, after) => sizes.slice(row, after).reduce((sum, each) => sum + each, 0) + after - row - 1;
  const checked = (kind, row, after, least) => (after > 0 && size(row, after) >= least ? [kind, after] : ['', row]);
  let row = 0;
  let jsonFrom = schemas ? lines.length : 0;
  while (row < lines.length) {
    let [kind, after] = blockAt(lines, row, checked);
    if (!kind && row >= jsonFrom && OPENS.test(lines[row])) {
      const [end, seen] = balanced(lines, row);
      jsonFrom = seen;
      [kind, after] = checked('json', row, end, LEAST_DATA);
    }
    if (kind) {
      blocks.push({ start: starts[row], end: starts[after] - 1, kind });
      row = after;
      continue;
    }
    if (sizes[row] >= LEAST_BLOB) {
      for (const blob of lines[row].matchAll(BLOB)) {
        blocks.push({ start: starts[row] + blob.index, end: starts[row] + blob.index + blob[0].length, kind: 'blob' });
      }
    }
    row += 1;
  }
  return blocks;
}

function blockAt(lines, row, checked) {
  const line = lines[row];
  const fence = FENCE.exec(line);
  if (fence) return checked('code', row, closing(lines, row, fence[1]), LEAST_CODE);
  if (MAIL.test(line)) return checked('mail', row, lines.length, LEAST_QUOTED);
  for (const [kind, begins, goesOn] of RUNS) {
    if (begins(line)) {
      const after = run(lines, row, goesOn);
      return checked(kind, row, after - row >= LEAST_FRAMES ? after : 0, LEAST_QUOTED);
    }
  }
  const cut = columns(line);
  if (cut) {
    const after = run(lines, row, (each) => columns(each) === cut);
    if (after - row >= LEAST_ROWS) return checked('table', row, after, LEAST_DATA);
  }
  return ['', row];
}

function closing(lines, row, fence) {
  for (let after = row + 1; after < lines.length; after += 1) {
    if (lines[after].replace(/^ +/, '').startsWith(fence)) return after + 1;
  }
  return 0;
}

function columns(line) {
  for (const [sign, least] of [['|', 3], ['\t', 2], [';', 3], [',', 3]]) {
    const count = line.split(sign).length - 1;
    if (count >= least && (sign === '|' || sign === '\t' || !line.includes(`${sign} `))) return `${sign}${count}`;
  }
  return null;
}

function run(lines, row, belongs) {
  let after = row + 1;
  while (after < lines.length && belongs(lines[after])) after += 1;
  return after;
}

function balanced(lines, row) {
  let depth = 0;
  for (let place = row; place < lines.length; place += 1) {
    for (const [bracket] of lines[place].matchAll(BRACKET)) depth += bracket === '[' || bracket === '{' ? 1 : -1;
    if (depth <= 0) {
      const closes = depth === 0 && /[}\]][ \t,;]*$/.test(lines[place]);
      return [closes ? place + 1 : 0, place + 1];
    }
  }
  return [0, lines.length];
}
