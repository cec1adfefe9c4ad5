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
  static async load({ files }, name, outputs, { threads = 1, numbers = false } = {}) {
    const options = { intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3, executionProviders: ['cpu'] };
    let session;
    try {
      session = await ort.InferenceSession.create(files.get(name), options);
    } catch (error) {
      throw new BundleError(`${name} cannot be loaded (${error.message}). Ship the bundle again.`);
    }
    checkNames(name, 'inputs', session.inputNames, numbers ? [...INPUTS, FEATURES] : INPUTS);
    checkNames(name, 'outputs', session.outputNames, outputs);
    return new Graph(session, numbers);
  }

  /**
   * Return the outputs for one request, as float64, whatever they are.
   * @param {number[]} ids
   * @param {Float32Array | null} [numbers] of the request; null: not known
   */
  async run(ids, numbers = null) {
    const shape = [1, ids.length];
    const inputs = {
      input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new ort.Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
    };
    if (this.readsNumbers) inputs[FEATURES] = new ort.Tensor('float32', numbers ?? new Float32Array(N_NUMBERS).fill(NaN), [1, N_NUMBERS]);
    const outputs = await this.session.run(inputs);
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data[0]]));
  }
}

function checkNames(name, kind, found, expected) {
  const [is, asked] = [found, expected].map((names) => [...names].sort().join(', '));
  if (is !== asked) throw new BundleError(`${name} must have the ${kind} ${asked}: got ${is}. Ship the bundle again.`);
}
