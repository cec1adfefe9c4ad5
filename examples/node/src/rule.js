/** The rule (docs/bundle.md, "The rule"), as pure functions of the policy and what is known of a request. */

const EASY = { route: 'cheap', reason: 'easy_task' };
const HARD = { route: 'frontier', reason: 'hard_task' };
const UNFAMILIAR = { route: 'frontier', reason: 'unfamiliar' };
export const ABOVE = { route: 'frontier', reason: 'above_threshold' };
export const WITHIN = { route: 'cheap', reason: 'within_threshold' };

/** Return the verdict that needs no score, or null where one is needed. */
export function beforeScoring(policy, task, tokens) {
  if (tokens < policy.max_cheap_tokens && policy.easy_tasks.includes(task)) return EASY;
  return policy.hard_tasks.includes(task) ? HARD : null;
}

/** Return the verdict on the graph's outputs; a score equal to the threshold stays cheap. */
export function afterScoring(policy, task, { difficulty_score: score, familiarity }) {
  if (familiarity !== undefined && familiarity < policy.min_familiarity) return UNFAMILIAR;
  return score > thresholdOf(policy, task) ? ABOVE : WITHIN;
}

/** Return the threshold that applies to a task. */
export function thresholdOf(policy, task) {
  return Object.hasOwn(policy.task_thresholds, task) ? policy.task_thresholds[task] : policy.threshold; // a task may be called "constructor"
}
