/** Early exit: a small graph decides what is far from the threshold (docs/bundle.md, "Early exit"). */
import { Graph } from './graph.js';
import { ABOVE, WITHIN } from './rule.js';

const FILE = 'early.onnx';
const OUTPUT = 'early_score';

export class EarlyScorer {
  constructor(graph) {
    this.graph = graph;
  }

  /** Return null where the bundle has none; a graph that is there is loaded, and so checked, even where the policy has no cut-offs. */
  static async load(bundle, options) {
    return bundle.files.has(FILE) ? new EarlyScorer(await Graph.load(bundle, FILE, [OUTPUT], options)) : null;
  }

  /** Return the early score, which may be no number. */
  async score(ids) {
    return (await this.graph.run(ids))[OUTPUT];
  }
}

/** Return the cut-offs of a policy where they hold: for the threshold that they were chosen for, and for it alone; null elsewhere. */
export function exitsOf({ early, threshold, task_thresholds: tasks, min_familiarity: familiarity }) {
  return early === null || early.threshold !== threshold || Object.keys(tasks).length > 0 || familiarity > 0 ? null : early;
}

/** Return the verdict of an early score, or null where the scorer has to be asked. */
export function leaveEarly(exits, score, informed) {
  const cut = informed ? exits.with_task : exits.without_task;
  if (cut === null || !Number.isFinite(score)) return null;
  if (score > cut.high) return ABOVE;
  return score < cut.low ? WITHIN : null;
}
