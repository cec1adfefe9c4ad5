/** The graph: ids in, outputs by name (docs/bundle.md, "The graph"). */
import ort from 'onnxruntime-node';
import { BundleError, ScoringError } from './errors.js';

const INPUTS = ['attention_mask', 'input_ids'];
const REQUIRED = ['difficulty_score', 'p_cheap_fails'];

export class Scorer {
  constructor(session) {
    this.session = session;
  }

  /** @throws {BundleError} if the graph does not load, or lacks an input or an output */
  static async load({ manifest, files }, { threads = 1 } = {}) {
    const options = { intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3, executionProviders: ['cpu'] };
    let session;
    try {
      session = await ort.InferenceSession.create(files.get('scorer.onnx'), options);
    } catch (error) {
      throw new BundleError(`scorer.onnx cannot be loaded (${error.message}). Ship the bundle again.`);
    }
    checkNames('inputs', session.inputNames, INPUTS);
    checkNames('outputs', session.outputNames, [...manifest.outputs]);
    for (const name of REQUIRED) {
      if (!session.outputNames.includes(name)) throw new BundleError(`scorer.onnx must have the output ${name}. Ship the bundle again.`);
    }
    return new Scorer(session);
  }

  /**
   * Return the outputs for one request, as float64.
   * @throws {ScoringError} if one of them is no number
   */
  async score(ids) {
    const shape = [1, ids.length];
    const outputs = await this.session.run({
      input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new ort.Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
    });
    const found = {};
    for (const [name, { data }] of Object.entries(outputs)) {
      if (!Number.isFinite(data[0])) throw new ScoringError(`${name} must be a number: got ${data[0]}`);
      found[name] = data[0];
    }
    return found;
  }
}

function checkNames(kind, found, expected) {
  if (JSON.stringify([...found].sort()) !== JSON.stringify(expected.sort())) {
    throw new BundleError(`scorer.onnx must have the ${kind} ${expected.join(', ')}: got ${found.join(', ')}. Ship the bundle again.`);
  }
}
