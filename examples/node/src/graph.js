/** A graph of a bundle: ids in, outputs by name (docs/bundle.md, "The graph"). */
import ort from 'onnxruntime-node';
import { BundleError } from './errors.js';

const INPUTS = ['attention_mask', 'input_ids'];

export class Graph {
  constructor(session) {
    this.session = session;
  }

  /**
   * @param {{ files: Map<string, Uint8Array> }} bundle
   * @param {string} name its file in the bundle
   * @param {string[]} outputs all that it must have
   * @throws {BundleError} if the graph does not load, or its inputs or outputs are others
   */
  static async load({ files }, name, outputs, { threads = 1 } = {}) {
    const options = { intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3, executionProviders: ['cpu'] };
    let session;
    try {
      session = await ort.InferenceSession.create(files.get(name), options);
    } catch (error) {
      throw new BundleError(`${name} cannot be loaded (${error.message}). Ship the bundle again.`);
    }
    checkNames(name, 'inputs', session.inputNames, INPUTS);
    checkNames(name, 'outputs', session.outputNames, outputs);
    return new Graph(session);
  }

  /** Return the outputs for one request, as float64, whatever they are. */
  async run(ids) {
    const shape = [1, ids.length];
    const outputs = await this.session.run({
      input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new ort.Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
    });
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data[0]]));
  }
}

function checkNames(name, kind, found, expected) {
  const [is, asked] = [found, expected].map((names) => [...names].sort().join(', '));
  if (is !== asked) throw new BundleError(`${name} must have the ${kind} ${asked}: got ${is}. Ship the bundle again.`);
}
