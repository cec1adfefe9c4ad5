/** The scorer: ids to scores. */
import { BundleError, ScoringError } from './errors.js';
import { Graph } from './graph.js';

const FILE = 'scorer.onnx';
const REQUIRED = ['difficulty_score', 'p_cheap_fails'];

export class Scorer {
  constructor(graph) {
    this.graph = graph;
  }

  /** @throws {BundleError} if the graph does not load, or lacks an input or an output */
  static async load(bundle, options) {
    const { outputs, request_numbers: version } = bundle.manifest;
    const graph = await Graph.load(bundle, FILE, outputs, { ...options, numbers: version !== null });
    for (const name of REQUIRED) {
      if (!outputs.includes(name)) throw new BundleError(`${FILE} must have the output ${name}. Ship the bundle again.`);
    }
    return new Scorer(graph);
  }

  /** Whether it reads numbers of the request. */
  get readsNumbers() {
    return this.graph.readsNumbers;
  }

  /**
   * Return the outputs for one request.
   * @throws {ScoringError} if one of them is no number
   */
  async score(ids, numbers = null) {
    const outputs = await this.graph.run(ids, numbers);
    for (const [name, value] of Object.entries(outputs)) {
      if (!Number.isFinite(value)) throw new ScoringError(`${name} must be a number: got ${value}`);
    }
    return outputs;
  }
}
