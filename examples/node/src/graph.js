/** A graph of a bundle: ids in, outputs by name (docs/bundle.md, "The graph"). */
import ort from 'onnxruntime-node';
import { BundleError } from './errors.js';
import { N_NUMBERS } from './numbers.js';

const INPUTS = ['attention_mask', 'input_ids'];
const FEATURES = 'features';

export class Graph {
  constructor(session, readsNumbers = false) {
    Object.assign(this, { session, readsNumbers });
  }

  /**
   * @param {{ files: Map<string, Uint8Array> }} bundle
   * @param {string} name its file in the bundle
   * @param {string[]} outputs all that it must have
   * @param {{ threads?: number, numbers?: boolean }} [options] `numbers`: whether it reads numbers of the request
   * @throws {BundleError} if the graph does not load, or its inputs or outputs are others
   */
  static async load(bundle, name, outputs, { threads, numbers = false } = {}) {
    const inputs = numbers ? [...INPUTS, FEATURES] : INPUTS;
    return new Graph(await openSession(bundle, name, inputs, outputs, threads), numbers);
  }

  /**
   * Return the outputs for one request, as float64, whatever they are.
   * @param {number[]} ids
   * @param {Float32Array | null} [numbers] of the request; null: not known
   */
  async run(ids, numbers = null) {
    const inputs = tokensOf(ids, 'input_ids', 'attention_mask');
    if (this.readsNumbers) inputs[FEATURES] = numbersOf(numbers ?? new Float32Array(N_NUMBERS).fill(NaN));
    return firstOf(await this.session.run(inputs));
  }
}

/** Open a graph of a bundle that has these inputs and outputs. */
export async function openSession({ files }, name, inputs, outputs, threads = 1) {
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3, executionProviders: ['cpu'] };
  let session;
  try {
    session = await ort.InferenceSession.create(files.get(name), options);
  } catch (error) {
    throw new BundleError(`${name} cannot be loaded (${error.message}). Ship the bundle again.`);
  }
  checkNames(name, 'inputs', session.inputNames, inputs);
  checkNames(name, 'outputs', session.outputNames, outputs);
  return session;
}

/** Ids of one text and their mask, as inputs of a graph; of none, one id that is masked. */
export function tokensOf(ids, name, mask) {
  const shape = [1, Math.max(1, ids.length)];
  return {
    [name]: new ort.Tensor('int64', ids.length > 0 ? BigInt64Array.from(ids, BigInt) : new BigInt64Array(1), shape),
    [mask]: new ort.Tensor('int64', new BigInt64Array(shape[1]).fill(ids.length > 0 ? 1n : 0n), shape),
  };
}

/** Numbers of one request, as an input of a graph. */
export function numbersOf(values) {
  return new ort.Tensor('float32', values, [1, values.length]);
}

/** A graph's outputs for its one request, by name. */
export function firstOf(outputs) {
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data[0]]));
}

function checkNames(name, kind, found, expected) {
  const [is, asked] = [found, expected].map((names) => [...names].sort().join(', '));
  if (is !== asked) throw new BundleError(`${name} must have the ${kind} ${asked}: got ${is}. Ship the bundle again.`);
}
