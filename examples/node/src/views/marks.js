/** What a request has beside its words: what is attached, and which step of a tool loop it is (docs/bundle.md, "Marks"). */
import { MEDIA, partType } from '../parts.js';

const MOST_MARKS = 64;
const WORDS = new Set([...MEDIA, 'error', 'fine']);
const FAILED =
  /^(?:[ \t\r\n\[({<*#\"']*(?:errors?|fatal|exception|failed|failure|traceback \(most recent call last\)|[a-z0-9_.]*(?:error|exception)[ ]*:|(?:command )?not found|permission denied|no such file)(?![a-z0-9_]))/i;
const FINE = /^(?:[ \t\r\n\[({<*#\"']*errors?\"?[ ]*[:=][ ]*(?:null|none|false|0|\"\"|\[\]|\{\}))/i;

/** The marks of a message: its media, and whether it is an error. */
export function marksOf({ marks: stored, content, is_error: said }) {
  const marks = typeof stored === 'string' ? stored.split(' ').filter((word) => WORDS.has(word)) : [];
  const kinds = Array.isArray(content) ? content.map((part) => partType(part?.type)) : [];
  marks.push(...kinds.filter((kind) => MEDIA.includes(kind)));
  if (typeof said === 'boolean') marks.push(said ? 'error' : 'fine');
  return marks.slice(-MOST_MARKS);
}

/**
 * The markers of a request by kind, in the order in which they are written.
 * @param {{ role: string, text: string, marks: string[] }[]} messages
 */
export function readMarks(messages) {
  const all = messages.flatMap(({ marks }) => marks);
  const count = (kind) => all.filter((mark) => mark === kind).length;
  const found = MEDIA.map((kind) => [kind, count(kind)]).filter(([, n]) => n > 0);
  const markers = new Map(found.map(([kind, n]) => [kind, `[${kind} ${n}]`]));
  if (messages.at(-1)?.role === 'tool') markers.set('step', step(messages));
  return markers;
}

function step(messages) {
  let steps = 0;
  let before = '';
  let isError = false;
  for (const { role, text, marks } of [...messages].reverse()) {
    if (role === 'user') break;
    if (role === 'tool') {
      if (before !== 'tool') steps += 1;
      if (steps === 1 && failed(text, marks)) isError = true;
    }
    before = role;
  }
  return `[step ${steps < 4 ? steps : steps.toString(2).length + 1} ${isError ? 'error' : 'fine'}]`;
}

function failed(text, marks) {
  const said = marks.find((mark) => mark === 'error' || mark === 'fine');
  return said ? said === 'error' : !FINE.test(text) && FAILED.test(text);
}
