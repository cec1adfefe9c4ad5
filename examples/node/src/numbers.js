/** Numbers of the request that its token ids cannot carry (docs/bundle.md, "Numbers of the request"). */
import { askedOf } from './answers/asked.js';
import { codePoints, contentWords, head, shared, words } from './answers/scan.js';
import { offeredFunctions } from './answers/schemas.js';
import { isObject, textView } from './text.js';

export const NUMBERS_VERSION = 1;
export const N_NUMBERS = 25;
const MOST_PARAMETERS = 4096;
const LONGEST_NAME = 128;
const MOST_CHARS = 8192;
const ANDS = new Set(['and', 'also', 'then', 'second', 'another', 'additionally']);
const LISTS = new Set(['respectively', 'each', 'both', 'following']);

/**
 * The 25 numbers of a request; null where it offers no function, or ones with too many parameters.
 * @param {string | object[]} messages
 * @param {unknown} [tools] those of the request's body
 * @param {string | null} [question] the ask, as text view 2 tells it from what stands around it; null: all that the user says
 * @returns {Float32Array | null}
 */
export function readNumbers(messages, tools = null, question = null) {
  const asked = askedOf(messages, tools);
  const functions = offeredFunctions(asked.tools, asked.system);
  if (functions.length === 0 || total(functions.map(sizeOf)) > MOST_PARAMETERS) return null;
  const text = question === null ? asked.text : textView(question, MOST_CHARS).text;
  const said = words(text);
  const content = contentWords(said);
  return Float32Array.of(...ofFunctions(functions, content), ...ofQuestion(text, said, content));
}

function ofFunctions(functions, asked) {
  const n = functions.length;
  const root = Math.sqrt(Math.max(1, asked.size));
  const parameters = functions.map(sizeOf);
  const required = functions.map((each) => each.required.filter((name) => Object.hasOwn(each.parameters, name)).length);
  const schemas = functions.flatMap((each) => Object.values(each.parameters)).filter(isObject);
  const texts = functions.flatMap((each) => [each.name, each.description, ...Object.keys(each.parameters)]);
  texts.push(...schemas.map((schema) => schema.description).filter((text) => typeof text === 'string'));
  const names = functions.map((each) => contentOfName(each.name));
  const content = functions.map((each, place) => union(names[place], contentWords(words(each.description))));
  const common = content.map((own) => shared(own, asked));
  const [best, second] = functions.map((_, place) => place).sort((a, b) => common[b] - common[a]); // the first of those that fit best
  const parts = Object.keys(functions[best].parameters).map((name) => contentOfName(head(name, LONGEST_NAME)));
  const both = second === undefined ? 0 : shared(content[best], content[second]);
  const either = second === undefined ? 0 : union(content[best], content[second]).size;
  return [
    n,
    total(parameters) / n,
    total(required) / n,
    (total(parameters) - total(required)) / Math.max(1, total(parameters)),
    total(texts.map(codePoints)),
    schemas.filter((schema) => Array.isArray(schema.enum)).length,
    schemas.filter((schema) => schema.type === 'array' || schema.type === 'object').length,
    common[best] / root,
    second === undefined ? 0 : common[second] / root,
    Math.max(...names.map((own) => shared(own, asked) / Math.max(1, own.size))),
    parameters[best],
    required[best],
    parts.filter((own) => shared(own, asked) > 0).length / Math.max(1, parts.length),
    both / Math.max(1, either),
  ];
}

function ofQuestion(question, said, content) {
  const among = (set) => said.filter((word) => set.has(word)).length;
  const count = (pattern) => question.match(pattern)?.length ?? 0;
  return [
    codePoints(question),
    content.size,
    count(/\?/g),
    count(/,/g),
    among(ANDS),
    among(LISTS),
    said.filter((word) => word === 'or').length,
    count(/[0-9]+(?:[.,][0-9]+)*/g),
    count(/[`'"]/g),
    count(/[.!?](?=[ \n]|$)/g),
    count(/[A-Z][a-z]+/g),
  ];
}

const sizeOf = ({ parameters }) => Object.keys(parameters).length;
const total = (values) => values.reduce((sum, value) => sum + value, 0);
const union = (left, right) => new Set([...left, ...right]);
/** In a name a capital after a small letter begins a word. */
const contentOfName = (name) => contentWords(words(name.replace(/([a-z])([A-Z])/g, '$1 $2')));
