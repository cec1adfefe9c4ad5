/** The functions that a request offers, from its `tools` or from lines of its system messages (docs/bundle.md). */
import { isObject } from '../text.js';
import { codePoints, head, strip } from './scan.js';

const MOST_FUNCTIONS = 128;
const MOST_REQUIRED = 64;
const LONGEST_NAME = 128;
const LONGEST_DESCRIPTION = 1024;
const LONGEST_LINE = 65536;
const LONGEST_SYSTEM = 262144;
const DEEPEST = 200;

/**
 * The functions of `tools` or, where those have none, of the system messages: the first of each name, at most 128.
 * @param {object[]} tools
 * @param {string} system
 * @returns {{ name: string, description: string, parameters: object, required: string[] }[]}
 */
export function offeredFunctions(tools, system) {
  const offered = distinct(tools);
  if (offered.length > 0 || codePoints(system) > LONGEST_SYSTEM) return offered;
  return distinct(system.split('\n').flatMap(objectsOf));
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

function distinct(forms) {
  const kept = new Map();
  for (const form of forms) {
    const found = isObject(form) ? functionOf(isObject(form.function) ? form.function : form) : null;
    if (found && !kept.has(found.name)) kept.set(found.name, found);
    if (kept.size === MOST_FUNCTIONS) break;
  }
  return [...kept.values()];
}

function functionOf(form) {
  if (typeof form.name !== 'string' || form.name === '') return null;
  const schema = [form.parameters, form.input_schema].find(isObject) ?? {};
  const required = Array.isArray(schema.required) ? schema.required.slice(0, MOST_REQUIRED) : [];
  return {
    name: head(form.name, LONGEST_NAME),
    description: typeof form.description === 'string' ? head(form.description, LONGEST_DESCRIPTION) : '',
    parameters: isObject(schema.properties) ? schema.properties : {},
    required: [...new Set(required.filter((name) => typeof name === 'string'))],
  };
}
