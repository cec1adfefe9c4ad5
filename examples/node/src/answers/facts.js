/** The facts: every number that is computed about an answer, in one fixed order (docs/answers.md). */
import * as arithmetic from './arithmetic.js';
import * as cues from './cues.js';
import * as final from './final.js';
import * as options from './options.js';
import { Pair } from './pair.js';
import * as shape from './shape.js';
import * as tools from './tools.js';

export const FACTS_VERSION = 1;
export const KINDS = [
  [tools.NAMES, tools.readTools],
  [arithmetic.NAMES, arithmetic.readArithmetic],
  [final.NAMES, final.readFinal],
  [options.NAMES, options.readOptions],
  [cues.NAMES, cues.readCues],
  [shape.NAMES, shape.readShape],
];
export const FACTS = KINDS.flatMap(([names]) => names);

/** @returns {Float32Array} in the order of FACTS; NaN where a fact is not known */
export function readFacts(asked, answer) {
  const pair = new Pair(asked, answer);
  return Float32Array.from(KINDS.flatMap(([, read]) => read(pair)));
}
