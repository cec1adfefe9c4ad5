/** The functions that a request offers, from its `tools` or from lines of its system messages (docs/answers.md, "The offered functions"). */
import { isObject } from '../text.js';
import { codePoints, head, strip } from './scan.js';

const MOST_FUNCTIONS = 128;
const MOST_REQUIRED = 64;
export const LONGEST_NAME = 128;
const LONGEST_DESCRIPTION = 1024;
const LONGEST_LINE = 65536;
const LONGEST_SYSTEM = 262144;
const DEEPEST = 200;

/**
 * What a request offers to call: the functions of `tools` or, where those have none, of the system messages, the first of
 * each name, at most 128; and the system messages without the lines that describe functions.
 * @param {object[]} tools
 * @param {string} system
 * @returns {{ functions: { name: string, description: string, parameters: object, required: string[], definitions: object }[], prose: string }}
 */
export function readOffer(tools, system) {
  const offered = distinct(functionsOf(tools));
  if (system.length > LONGEST_SYSTEM && codePoints(system) > LONGEST_SYSTEM) return { functions: offered, prose: system };
  const described = [];
  const prose = [];
  for (const line of system.split('\n')) {
    const found = functionsOf(objectsOf(line));
    described.push(...found);
    if (found.length === 0) prose.push(line);
  }
  return { functions: offered.length > 0 ? offered : distinct(described), prose: prose.join('\n') };
}

export const offeredFunctions = (tools, system) => readOffer(tools, system).functions;

/** A schema, or the definition that it names by `$ref`; what is none is `{}`. */
export function resolve(schema, { definitions }) {
  if (!isObject(schema)) return {};
  const reference = Object.hasOwn(schema, '$ref') ? schema.$ref : null;
  if (typeof reference !== 'string') return schema;
  const name = reference.slice(reference.lastIndexOf('/') + 1);
  return Object.hasOwn(definitions, name) && isObject(definitions[name]) ? definitions[name] : {};
}

/** The objects that a line of a system message holds. */
function objectsOf(line) {
  const text = strip(line.replaceAll('<tools>', '').replaceAll('</tools>', ''));
  if ((text[0] !== '{' && text[0] !== '[') || codePoints(text) > LONGEST_LINE || depthOf(text) > DEEPEST) return [];
  try {
    const value = JSON.parse(text);
    return Array.isArray(value) ? value : [value];
  } catch {
    return [];
  }
}

/** How deep brackets are nested, those inside strings counted too. */
function depthOf(text) {
  let [deepest, depth] = [0, 0];
  for (const character of text) {
    if (character === '{' || character === '[') deepest = Math.max(deepest, (depth += 1));
    else if (character === '}' || character === ']') depth -= 1;
  }
  return deepest;
}

function distinct(functions) {
  const kept = new Map();
  for (const offer of functions) {
    if (!kept.has(offer.name)) kept.set(offer.name, offer);
    if (kept.size === MOST_FUNCTIONS) break;
  }
  return [...kept.values()];
}

const functionsOf = (forms) =>
  forms
    .filter(isObject)
    .map((form) => functionOf(isObject(form.function) ? form.function : form))
    .filter((offer) => offer !== null);

function functionOf(form) {
  if (typeof form.name !== 'string' || form.name === '') return null;
  const schema = [form.parameters, form.input_schema].find(isObject) ?? {};
  const required = Array.isArray(schema.required) ? schema.required.slice(0, MOST_REQUIRED) : [];
  return {
    name: head(form.name, LONGEST_NAME),
    description: typeof form.description === 'string' ? head(form.description, LONGEST_DESCRIPTION) : '',
    parameters: isObject(schema.properties) ? schema.properties : {},
    required: [...new Set(required.filter((name) => typeof name === 'string'))],
    definitions: [schema.$defs, schema.definitions].find((given) => isObject(given) && Object.keys(given).length > 0) ?? {},
  };
}
